#pragma once
/* Protobuf under construction where speed does not matter: a growing buffer, and messages whose length is put in front of
 * them when they are whole. Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

struct oa_pb {
	uint8_t *mem; /* the owner's to free */
	size_t len, cap;
	bool failed; /* no memory */
};

/* A message's begin; oa_pb_end() takes what this returns. */
size_t oa_pb_begin(struct oa_pb *p, unsigned field);
void oa_pb_end(struct oa_pb *p, size_t begin);

void oa_pb_uint(struct oa_pb *p, unsigned field, uint64_t value);
void oa_pb_sint(struct oa_pb *p, unsigned field, int64_t value);
void oa_pb_fixed64(struct oa_pb *p, unsigned field, uint64_t value);
void oa_pb_double(struct oa_pb *p, unsigned field, double value);
void oa_pb_bytes(struct oa_pb *p, unsigned field, const void *bytes, size_t len);
/* Made valid UTF-8. */
void oa_pb_text(struct oa_pb *p, unsigned field, struct oa_bytes text);
/* Without a field: elements of a packed list. */
void oa_pb_raw_fixed64(struct oa_pb *p, uint64_t value);
void oa_pb_raw_varint(struct oa_pb *p, uint64_t value);
