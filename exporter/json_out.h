#pragma once
/* JSON under construction: a growing buffer and the commas. What is written in the right order comes out as JSON;
 * text is made valid UTF-8 on the way (utf8.h). Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

struct oa_json {
	uint8_t *mem; /* the owner's to free */
	size_t len, cap;
	bool comma;  /* a value stands in front */
	bool failed; /* no memory: the text is not whole */
};

/* Starts anew in the same memory. */
void oa_json_reset(struct oa_json *j);
/* The memory is given back when it is larger than `keep`. */
void oa_json_trim(struct oa_json *j, size_t keep);

void oa_json_open(struct oa_json *j, char bracket);
void oa_json_close(struct oa_json *j, char bracket);

/* `"key":`; key: needs no escapes */
void oa_json_key_bytes(struct oa_json *j, struct oa_bytes key);
#define oa_json_key(j, key) oa_json_key_bytes((j), OA_LIT(key))

/* A text in quotes. */
void oa_json_text(struct oa_json *j, struct oa_bytes text);
/* The same from two pieces. */
void oa_json_text2(struct oa_json *j, struct oa_bytes first, struct oa_bytes second);
void oa_json_hex(struct oa_json *j, const uint8_t *bytes, unsigned len);
void oa_json_uint(struct oa_json *j, uint64_t value);
void oa_json_int(struct oa_json *j, int64_t value);
/* In quotes, as proto3 writes numbers of 64 bits. */
void oa_json_uint_text(struct oa_json *j, uint64_t value);
void oa_json_int_text(struct oa_json *j, int64_t value);
void oa_json_bool(struct oa_json *j, bool value);
/* value / 10^scale; scale <= 18; prints as few digits as it takes */
void oa_json_fixed(struct oa_json *j, uint64_t value, unsigned scale);
/* As it is, in the place of a value. */
void oa_json_raw(struct oa_json *j, struct oa_bytes text);
/* Ends a line of JSON lines. */
void oa_json_newline(struct oa_json *j);
