#pragma once
/* Borrowed byte ranges and bounded comparisons. Nothing here owns or frees. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct oa_bytes {
	const uint8_t *ptr;
	size_t len;
};

#define OA_LIT(s) ((struct oa_bytes){ (const uint8_t *)(s), sizeof(s) - 1 })

static inline struct oa_bytes oa_bytes(const void *ptr, size_t len)
{
	return (struct oa_bytes){ ptr, len };
}

static inline struct oa_bytes oa_bytes_str(const char *s)
{
	return (struct oa_bytes){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

/* The text at *at; *at goes on to the one behind its end. For tables of texts without pointers. */
static inline const char *oa_text_next(const char **at)
{
	const char *text = *at;

	*at += strlen(text) + 1;
	return text;
}

static inline bool oa_bytes_eq(struct oa_bytes a, struct oa_bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline uint8_t oa_lower(uint8_t c)
{
	return (uint8_t)(c - 'A') < 26 ? c | 0x20 : c;
}

/* `lower` must be lower case already. */
static inline bool oa_bytes_ieq(struct oa_bytes a, struct oa_bytes lower)
{
	if (a.len != lower.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (oa_lower(a.ptr[i]) != lower.ptr[i])
			return false;
	return true;
}

/* Without spaces and tabs at both ends (RFC 9110 OWS). */
static inline struct oa_bytes oa_bytes_trim(struct oa_bytes b)
{
	while (b.len && (b.ptr[0] == ' ' || b.ptr[0] == '\t')) {
		b.ptr++;
		b.len--;
	}
	while (b.len && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == '\t'))
		b.len--;
	return b;
}

static inline struct oa_bytes oa_bytes_cut(struct oa_bytes b, size_t max)
{
	if (b.len > max)
		b.len = max;
	return b;
}

static inline uint64_t oa_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static inline uint32_t oa_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* memcpy() of what is mostly a few words: without the call. */
static inline void oa_copy_text(uint8_t *out, const uint8_t *in, size_t len)
{
	uint64_t last;
	uint32_t last_half;

	if (len > 64) {
		memcpy(out, in, len);
	} else if (len >= 8) {
		last = oa_load64(in + len - 8);
		for (size_t i = 0; i + 8 < len; i += 8)
			memcpy(out + i, in + i, 8);
		memcpy(out + len - 8, &last, 8);
	} else if (len >= 4) {
		last_half = oa_load32(in + len - 4);
		memcpy(out, in, 4);
		memcpy(out + len - 4, &last_half, 4);
	} else {
		while (len--)
			*out++ = *in++;
	}
}

/* The first eight bytes, or all of them, as a number. */
static inline uint64_t oa_load_begin(struct oa_bytes text)
{
	uint64_t word = 0;

	if (text.len >= 8)
		return oa_load64(text.ptr);
	if (text.len >= 4)
		return oa_load32(text.ptr) | (uint64_t)oa_load32(text.ptr + text.len - 4) << (8 * (text.len - 4));
	while (text.len--)
		word = word << 8 | text.ptr[text.len];
	return word;
}

/* memcmp() of what is mostly a few words: without the call. */
static inline bool oa_same(const uint8_t *a, const uint8_t *b, size_t len)
{
	uint64_t differ;

	if (len < 8)
		return oa_load_begin(oa_bytes(a, len)) == oa_load_begin(oa_bytes(b, len));
	differ = oa_load64(a + len - 8) ^ oa_load64(b + len - 8);
	for (size_t i = 0; i + 8 < len; i += 8)
		differ |= oa_load64(a + i) ^ oa_load64(b + i);
	return !differ;
}

/* Eight bytes at a time: for tables in which a newer text takes the place of an older one. */
static inline uint64_t oa_hash_words(uint64_t hash, struct oa_bytes text)
{
	hash = (hash ^ text.len) * 0x9e3779b97f4a7c15ull;
	for (; text.len > 8; text = oa_bytes(text.ptr + 8, text.len - 8))
		hash = ((hash ^ oa_load64(text.ptr)) * 0x9e3779b97f4a7c15ull) ^ hash >> 29;
	hash = (hash ^ oa_load_begin(text)) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

/* FNV-1a, 64 bit: for hash tables that hold attacker-chosen text only under a cap. */
static inline uint64_t oa_hash(uint64_t seed, const void *ptr, size_t len)
{
	const uint8_t *p = ptr;
	uint64_t h = seed ? seed : 0xcbf29ce484222325ull;

	while (len--) {
		h ^= *p++;
		h *= 0x100000001b3ull;
	}
	return h;
}
