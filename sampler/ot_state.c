#include "sampler/ot_state.h"

#define OT_MEMBERS_MAX 32
#define OT_LONG        128 /* members above go first when room is needed */
#define OT_KEYS_MAX    16  /* far more than exist */

/* Cuts the next part off `rest`. */
static struct oa_bytes ot_part(struct oa_bytes *rest, char sep)
{
	const uint8_t *at = rest->len ? memchr(rest->ptr, sep, rest->len) : NULL;
	struct oa_bytes part = oa_bytes(rest->ptr, at ? (size_t)(at - rest->ptr) : rest->len);

	*rest = oa_bytes(rest->ptr + part.len + (at != NULL), rest->len - part.len - (at != NULL));
	return part;
}

static bool ot_is_ours(struct oa_bytes member)
{
	return member.len > 3 && memcmp(member.ptr, "ot=", 3) == 0;
}

/* -- reading -- */

static bool ot_key_valid(struct oa_bytes key)
{
	for (size_t i = 0; i < key.len; i++)
		if ((uint8_t)(key.ptr[i] - 'a') >= 26 && (!i || (uint8_t)(key.ptr[i] - '0') >= 10))
			return false;
	return key.len > 0;
}

static bool ot_seen(const struct oa_bytes *keys, unsigned count, struct oa_bytes key)
{
	while (count--)
		if (oa_bytes_eq(keys[count], key))
			return true;
	return false;
}

static bool ot_take(struct oa_ot *ot, struct oa_bytes key, struct oa_bytes value)
{
	if (oa_bytes_eq(key, OA_LIT("th")))
		return oa_th_parse(value, &ot->threshold);
	if (!oa_bytes_eq(key, OA_LIT("rv")))
		return true;
	ot->has_random = oa_th_parse_random(value, &ot->random);
	return ot->has_random;
}

static bool ot_read(struct oa_ot *ot)
{
	struct oa_bytes keys[OT_KEYS_MAX], rest = ot->value;
	unsigned count = 0;

	if (rest.len > OA_OT_VALUE_MAX)
		return false;
	while (rest.len) {
		struct oa_bytes value = ot_part(&rest, ';'), key = ot_part(&value, ':');

		if (!ot_key_valid(key) || count == OT_KEYS_MAX || ot_seen(keys, count, key) ||
		    !ot_take(ot, key, value))
			return false;
		keys[count++] = key;
	}
	return true;
}

void oa_ot_parse(struct oa_bytes list, struct oa_ot *ret_ot)
{
	*ret_ot = (struct oa_ot){ .threshold = OA_TH_NONE };
	while (list.len) {
		struct oa_bytes member = oa_bytes_trim(ot_part(&list, ','));

		if (!ot_is_ours(member))
			continue;
		ret_ot->value = oa_bytes(member.ptr + 3, member.len - 3);
		if (!ot_read(ret_ot))
			*ret_ot = (struct oa_ot){ .value = ret_ot->value, .broken = true, .threshold = OA_TH_NONE };
		return;
	}
}

/* -- writing -- */

static bool ot_put(struct oa_buf *out, struct oa_bytes sep, struct oa_bytes text)
{
	return (!out->len || oa_buf_put(out, sep)) && oa_buf_put(out, text);
}

static bool ot_is_th(struct oa_bytes pair)
{
	return pair.len >= 3 && memcmp(pair.ptr, "th:", 3) == 0;
}

/* The value: th first, then what else was there. */
static void ot_write_value(const struct oa_ot *ot, uint64_t threshold, struct oa_buf *value)
{
	struct oa_bytes rest = ot->value;
	char th[3 + OA_TH_DIGITS] = "th:";
	unsigned digits = oa_th_text(threshold, th + 3);
	size_t others = 0;

	while (rest.len) {
		struct oa_bytes pair = ot_part(&rest, ';');

		others += ot_is_th(pair) ? 0 : pair.len + 1;
	}
	if (digits && 3 + digits + others <= value->cap) /* what others wrote there comes before what we would */
		(void)oa_buf_put(value, oa_bytes(th, 3 + digits));
	for (rest = ot->value; rest.len;) {
		struct oa_bytes pair = ot_part(&rest, ';');

		if (!ot_is_th(pair))
			(void)ot_put(value, OA_LIT(";"), pair);
	}
}

/* Foreign members that stay, as bits in their order. */
static uint64_t ot_choose(struct oa_bytes list, size_t room, unsigned count_max)
{
	size_t total = 0;
	uint16_t lens[OT_MEMBERS_MAX];
	unsigned count = 0, left;
	uint64_t chosen;

	while (list.len && count < OT_MEMBERS_MAX) {
		struct oa_bytes member = oa_bytes_trim(ot_part(&list, ','));

		if (!member.len || ot_is_ours(member))
			continue;
		lens[count++] = (uint16_t)member.len;
		total += member.len + 1;
	}
	chosen = ((uint64_t)1 << count) - 1;
	for (unsigned i = left = count; i-- > 0 && (total > room || left > count_max);)
		if (lens[i] > OT_LONG && total > room) {
			chosen &= ~((uint64_t)1 << i);
			total -= lens[i] + 1u;
			left--;
		}
	for (unsigned i = count; i-- > 0 && (total > room || left > count_max);)
		if (chosen >> i & 1) {
			chosen &= ~((uint64_t)1 << i);
			total -= lens[i] + 1u;
			left--;
		}
	return chosen;
}

bool oa_ot_write(struct oa_bytes list, const struct oa_ot *ot, uint64_t threshold, struct oa_buf *out)
{
	struct oa_buf value = oa_buf(out->ptr + 3, OA_OT_VALUE_MAX);
	uint64_t chosen;

	if (ot->broken)
		return false;
	ot_write_value(ot, threshold, &value);
	memcpy(out->ptr, "ot=", 3);
	out->len = value.len ? 3 + value.len : 0;
	chosen = ot_choose(list, out->cap - out->len + (out->len == 0),
			   OT_MEMBERS_MAX - (value.len > 0));
	for (unsigned i = 0; list.len && i < OT_MEMBERS_MAX;) {
		struct oa_bytes member = oa_bytes_trim(ot_part(&list, ','));

		if (!member.len || ot_is_ours(member))
			continue;
		if (chosen >> i++ & 1)
			(void)ot_put(out, OA_LIT(","), member);
	}
	return true;
}
