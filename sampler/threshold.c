#include "sampler/threshold.h"

/* Digits that are written: leading f's say no more than how small the probability is. */
static unsigned th_digits(uint64_t t)
{
	unsigned digits = 4;

	for (int shift = 52; shift > 0 && digits < OA_TH_DIGITS && (t >> shift & 15) == 15; shift -= 4)
		digits++;
	return digits;
}

uint64_t oa_th_of(double probability)
{
	uint64_t kept, t, unit, rounded;

	if (!(probability > 0))
		return OA_TH_NEVER;
	if (probability >= 1)
		return 0;
	kept = (uint64_t)(probability * (double)OA_TH_RANGE + 0.5);
	if (!kept)
		kept = 1;
	t = OA_TH_RANGE - kept;
	unit = (uint64_t)1 << 4 * (OA_TH_DIGITS - th_digits(t));
	rounded = (t + unit / 2) & ~(unit - 1);
	return rounded < OA_TH_RANGE ? rounded : t;
}

double oa_th_probability(uint64_t threshold)
{
	return threshold >= OA_TH_RANGE ? 0 : (double)(OA_TH_RANGE - threshold) / (double)OA_TH_RANGE;
}

unsigned oa_th_text(uint64_t threshold, char ret_text[OA_TH_DIGITS])
{
	unsigned len = OA_TH_DIGITS;

	if (threshold >= OA_TH_RANGE)
		return 0;
	/* All fourteen first: without the zeros on the left, those on the right would mean something else. */
	for (unsigned i = 0; i < OA_TH_DIGITS; i++)
		ret_text[i] = "0123456789abcdef"[threshold >> 4 * (OA_TH_DIGITS - 1 - i) & 15];
	while (len > 1 && ret_text[len - 1] == '0')
		len--;
	return len;
}

static bool th_hex(struct oa_bytes text, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if ((uint8_t)(c - '0') < 10)
			value = value << 4 | (uint8_t)(c - '0');
		else if ((uint8_t)(c - 'a') < 6)
			value = value << 4 | (uint8_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret = value << 4 * (OA_TH_DIGITS - text.len);
	return true;
}

bool oa_th_parse(struct oa_bytes text, uint64_t *ret_threshold)
{
	return text.len >= 1 && text.len <= OA_TH_DIGITS && th_hex(text, ret_threshold);
}

bool oa_th_parse_random(struct oa_bytes text, uint64_t *ret_random)
{
	return text.len == OA_TH_DIGITS && th_hex(text, ret_random);
}
