/* The Huffman code of HPACK (RFC 7541 appendix B). It is canonical: the lengths of the codes are all there is to
 * know. Codes of up to ten bits, which is nearly all of what headers consist of, are looked up one or two at a time. */
#include <errno.h>

#include "proto/hpack.h"

#define HUFF_EOS     256
#define HUFF_SYMBOLS 257
#define HUFF_LONGEST 30
#define HUFF_BITS    10 /* of the table */

static const uint8_t huff_len[HUFF_SYMBOLS] = {
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30,
	28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5,
	7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22,
	22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23,
	22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22,
	21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26,
	26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20,
	24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27,
	27, 28, 27, 27, 27, 27, 27, 26, 30,
};

/* What begins with some ten bits. */
struct huff_hit {
	uint8_t symbol[2];
	uint8_t bits;  /* of all symbols; 0: the first code is longer than the table knows */
	uint8_t first; /* bits of the first symbol; equal when there is only one */
};
static struct huff_hit huff_table[1 << HUFF_BITS];

/* Codes of one length are consecutive. */
struct huff_range {
	uint32_t code;   /* the first */
	uint16_t count;
	uint16_t at;     /* of its symbol in huff_sorted */
};
static struct huff_range huff_range[HUFF_LONGEST + 1];
static uint16_t huff_sorted[HUFF_SYMBOLS];

static void init_ranges(void)
{
	uint32_t code = 0;
	uint16_t at = 0;

	for (unsigned len = 1; len <= HUFF_LONGEST; len++) {
		code <<= 1;
		huff_range[len] = (struct huff_range){ .code = code, .at = at };
		for (unsigned s = 0; s < HUFF_SYMBOLS; s++)
			if (huff_len[s] == len) {
				huff_sorted[at++] = (uint16_t)s;
				huff_range[len].count++;
				code++;
			}
	}
}

/* The symbol at the top of `bits`, and how long its code is. returns -1 when none is that short */
static inline int symbol_at(uint32_t bits, unsigned from, unsigned most, unsigned *ret_len)
{
	for (unsigned len = from; len <= most; len++) {
		uint32_t code = bits >> (32 - len);

		if (code - huff_range[len].code < huff_range[len].count) {
			*ret_len = len;
			return huff_sorted[huff_range[len].at + (code - huff_range[len].code)];
		}
	}
	return -1;
}

void oa_hpack_huffman_init(void)
{
	init_ranges();
	for (uint32_t i = 0; i < 1 << HUFF_BITS; i++) {
		struct huff_hit *hit = &huff_table[i];
		uint32_t bits = i << (32 - HUFF_BITS);
		unsigned len, more;
		int symbol = symbol_at(bits, 1, HUFF_BITS, &len);

		*hit = (struct huff_hit){ .bits = 0 };
		if (symbol < 0)
			continue;
		hit->symbol[0] = (uint8_t)symbol;
		hit->first = hit->bits = (uint8_t)len;
		symbol = symbol_at(bits << len, 1, HUFF_BITS - len, &more);
		if (symbol < 0)
			continue;
		hit->symbol[1] = (uint8_t)symbol;
		hit->bits = (uint8_t)(len + more);
	}
}

static inline uint64_t load_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

/* Bits not decoded yet, at the top of a word; ones behind the last of them. */
struct huff_bits {
	const uint8_t *at, *end;
	uint64_t word;
	int count;
};

static inline void bits_fill(struct huff_bits *b)
{
	if (b->end - b->at >= 8) {
		b->word = (b->word & ~(~0ull >> b->count)) | load_be64(b->at) >> b->count;
		b->at += (63 - b->count) >> 3;
		b->count |= 56;
		return;
	}
	b->word |= ~0ull >> b->count;
	for (; b->count <= 56 && b->at < b->end; b->count += 8) {
		unsigned shift = 56 - (unsigned)b->count;

		b->word = (b->word & ~(0xffull << shift)) | (uint64_t)*b->at++ << shift;
	}
}

/* What is behind the last symbol: less than a byte of ones. */
static inline bool bits_are_padding(const struct huff_bits *b)
{
	return b->at == b->end && b->count < 8 && b->word == ~0ull;
}

static inline void bits_take(struct huff_bits *b, unsigned n)
{
	b->word = b->word << n | ((1ull << n) - 1);
	b->count -= (int)n;
}

static inline __attribute__((always_inline)) long decode(struct oa_bytes in, uint8_t *out)
{
	struct huff_bits b = { .at = in.ptr, .end = in.ptr + in.len, .word = ~0ull };
	long n = 0;

	for (;;) {
		struct huff_hit hit;
		unsigned len;
		int symbol;

		if (b.count < HUFF_LONGEST) {
			bits_fill(&b);
			if (bits_are_padding(&b))
				return n;
		}
		hit = huff_table[b.word >> (64 - HUFF_BITS)];
		if (__builtin_expect(hit.bits && hit.bits <= b.count, 1)) {
			if (out)
				memcpy(out + n, hit.symbol, 2);
			n += 1 + (hit.bits != hit.first);
			bits_take(&b, hit.bits);
			continue;
		}
		if (hit.bits) {
			symbol = hit.symbol[0];
			len = hit.first;
		} else {
			symbol = symbol_at((uint32_t)(b.word >> 32), HUFF_BITS + 1, HUFF_LONGEST, &len);
		}
		if (symbol < 0 || symbol == HUFF_EOS || (int)len > b.count)
			return bits_are_padding(&b) ? n : -EPROTO;
		if (out)
			out[n] = (uint8_t)symbol;
		n++;
		bits_take(&b, len);
	}
}

long oa_hpack_huffman(struct oa_bytes in, uint8_t *out)
{
	return out ? decode(in, out) : decode(in, NULL);
}
