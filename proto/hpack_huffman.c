/* The Huffman code of HPACK (RFC 7541 appendix B). It is canonical: the lengths of the codes are all there is to
 * know. Codes of up to ten bits, which is nearly all of what headers consist of, are looked up one or two at a time. */
#include <errno.h>

#include "proto/hpack.h"

#define HUFF_EOS     256
#define HUFF_LONGEST 30
#define HUFF_BITS    10 /* of the table */

/* What begins with some ten bits. */
struct huff_hit {
	uint8_t symbol[2];
	uint8_t bits;  /* of all symbols; 0: the first code is longer than the table knows */
	uint8_t first; /* bits of the first symbol; equal when there is only one */
};

/* Codes of one length are consecutive. */
struct huff_range {
	uint32_t code;   /* the first */
	uint16_t count;
	uint16_t at;     /* of its symbol in huff_sorted */
};

/* huff_table, huff_range and huff_sorted, made of the lengths by gen_huffman.c when this is built. */
#include "proto/hpack_huffman_table.h"

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
