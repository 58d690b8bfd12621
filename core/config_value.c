#include "core/config_value.h"

#include "core/attr.h"

static bool value_is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

OA_START_CODE static struct oa_bytes value_trim(struct oa_bytes b)
{
	while (b.len && value_is_space(b.ptr[0])) {
		b.ptr++;
		b.len--;
	}
	while (b.len && value_is_space(b.ptr[b.len - 1]))
		b.len--;
	return b;
}

OA_START_CODE struct oa_bytes oa_value_trim(const char *text) { return value_trim(oa_bytes_str(text)); }

OA_START_CODE bool oa_value_bool(struct oa_bytes text, bool lenient, bool *ret)
{
	OA_START_CONST static const char words[] = "false|true|0|1|no|yes|off|on";
	int word = oa_value_choice(text, words);

	if (word < 0 || (word > 1 && !lenient))
		return false;
	*ret = word & 1;
	return true;
}

static bool value_is_digit(uint8_t c) { return (uint8_t)(c - '0') < 10; }

bool oa_value_int(struct oa_bytes text, int64_t min, int64_t max, int64_t *ret)
{
	int64_t n = 0;

	if (!text.len)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (!value_is_digit(text.ptr[i]))
			return false;
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, text.ptr[i] - '0', &n))
			return false;
	}
	if (n < min || n > max)
		return false;
	*ret = n;
	return true;
}

/* Digits at *at into a number with `scale` of them behind the point; what a double cannot hold is
 * cut. */
static bool value_digits(struct oa_bytes text, size_t *at, double *number, int *scale,
			 bool behind_point)
{
	size_t first = *at;

	for (; *at < text.len && value_is_digit(text.ptr[*at]); ++*at) {
		if (*number >= 1e15) {
			*scale -= !behind_point;
			continue;
		}
		*number = *number * 10 + (text.ptr[*at] - '0');
		*scale += behind_point;
	}
	return *at > first;
}

static bool value_exponent(struct oa_bytes text, size_t *at, int *scale)
{
	bool minus = false;
	int64_t exponent;

	if (*at == text.len)
		return true;
	if (oa_lower(text.ptr[*at]) != 'e')
		return false;
	++*at;
	if (*at < text.len && (text.ptr[*at] == '-' || text.ptr[*at] == '+'))
		minus = text.ptr[(*at)++] == '-';
	if (!oa_value_int(oa_bytes(text.ptr + *at, text.len - *at), 0, 400, &exponent))
		return false;
	*scale += minus ? (int)exponent : -(int)exponent;
	*at = text.len;
	return true;
}

bool oa_value_number(struct oa_bytes text, double max, double *ret)
{
	double number = 0, power = 1;
	size_t at = 0;
	int scale = 0;
	bool any = value_digits(text, &at, &number, &scale, false);

	if (at < text.len && text.ptr[at] == '.') {
		at++;
		any |= value_digits(text, &at, &number, &scale, true);
	}
	if (!any || !value_exponent(text, &at, &scale))
		return false;
	for (int i = scale < 0 ? -scale : scale; i > 0 && power < 1e300; i--)
		power *= 10;
	number = scale < 0 ? number * power : number / power;
	if (!(number >= 0 && number <= max))
		return false;
	*ret = number;
	return true;
}

bool oa_value_ratio(struct oa_bytes text, double *ret) { return oa_value_number(text, 1, ret); }

OA_START_CODE int oa_value_choice(struct oa_bytes text, const char *choices)
{
	struct oa_bytes rest = oa_bytes_str(choices);

	for (int i = 0; rest.len; i++) {
		const uint8_t *bar = memchr(rest.ptr, '|', rest.len);
		size_t len = bar ? (size_t)(bar - rest.ptr) : rest.len;

		if (oa_bytes_ieq(text, oa_bytes(rest.ptr, len)))
			return i;
		len += bar != NULL;
		rest.ptr += len;
		rest.len -= len;
	}
	return -1;
}

OA_START_CODE bool oa_value_next_item(struct oa_bytes *list, struct oa_bytes *ret_item)
{
	const uint8_t *comma;
	size_t len;

	if (!list->len)
		return false;
	comma = memchr(list->ptr, ',', list->len);
	len = comma ? (size_t)(comma - list->ptr) : list->len;
	*ret_item = value_trim(oa_bytes(list->ptr, len));
	len += comma != NULL;
	list->ptr += len;
	list->len -= len;
	return true;
}
