/* Packed label sets of metric series. */
#include "core/series.h"

const struct oa_label_info oa_labels[OA_LABEL_COUNT] = {
#define OA_LABEL(id, name, prom) { name, prom },
#include "core/labels.def"
#undef OA_LABEL
};

/* Length of the UTF-8 sequence at p, 0 if it is not one. */
static unsigned utf8_len(const uint8_t *p, size_t left)
{
	static const uint32_t lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	uint32_t c;

	if (n <= 1)
		return n;
	if (n > left || p[0] > 0xf4)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* Label values must be UTF-8, and must be made so before they are compared: two values that differ
 * only in what is replaced would be two series with the same text. */
static size_t label_copy(uint8_t *to, size_t cap, struct oa_bytes value, bool *ret_fits)
{
	size_t used = 0;

	*ret_fits = false;
	for (size_t i = 0; i < value.len;) {
		unsigned n = utf8_len(value.ptr + i, value.len - i);
		const uint8_t *from = n ? value.ptr + i : (const uint8_t *)"\xef\xbf\xbd";
		unsigned bytes = n ? n : 3;

		if (used + bytes > cap)
			return used;
		memcpy(to + used, from, bytes);
		used += bytes;
		i += n ? n : 1;
	}
	*ret_fits = true;
	return used;
}

void oa_label_add(struct oa_label_set *set, enum oa_label label, struct oa_bytes value)
{
	uint8_t *at = set->bytes + set->len;
	size_t used;
	uint16_t len;
	bool fits;

	if (set->overflow || set->len + 4u > sizeof(set->bytes)) {
		set->overflow = true;
		return;
	}
	used = label_copy(at + 4, sizeof(set->bytes) - set->len - 4u, value, &fits);
	if (!fits) {
		set->overflow = true;
		return;
	}
	len = (uint16_t)used;
	at[0] = (uint8_t)label;
	at[1] = 0;
	memcpy(at + 2, &len, 2);
	set->len = (uint16_t)(set->len + 4 + used);
}

bool oa_label_next(const uint8_t *labels, unsigned len, unsigned *pos, enum oa_label *ret_label,
		   struct oa_bytes *ret_value)
{
	uint16_t value_len;

	if (*pos + 4 > len)
		return false;
	memcpy(&value_len, labels + *pos + 2, 2);
	if (labels[*pos] >= OA_LABEL_COUNT || *pos + 4 + value_len > len)
		return false;
	*ret_label = labels[*pos];
	*ret_value = oa_bytes(labels + *pos + 4, value_len);
	*pos += 4u + value_len;
	return true;
}

void oa_label_drop(struct oa_label_set *fewer, const struct oa_label_set *all, uint32_t dropped)
{
	enum oa_label label;
	struct oa_bytes value;
	unsigned pos = 0, from = 0;

	fewer->len = 0;
	fewer->overflow = all->overflow;
	while (oa_label_next(all->bytes, all->len, &pos, &label, &value)) {
		if (!(dropped >> label & 1)) {
			memcpy(fewer->bytes + fewer->len, all->bytes + from, pos - from);
			fewer->len = (uint16_t)(fewer->len + (pos - from));
		}
		from = pos;
	}
}
