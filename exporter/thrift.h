#pragma once
/* Apache Thrift's two encodings behind one set of calls: binary, and compact. Structs are written field by field, in
 * rising order of their ids. Side thread only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/bytes.h"

enum oa_thrift_type {
	OA_THRIFT_BOOL, OA_THRIFT_I32, OA_THRIFT_I64, OA_THRIFT_STRING, OA_THRIFT_STRUCT, OA_THRIFT_LIST, OA_THRIFT_TYPES,
};

#define OA_THRIFT_DEPTH 8

struct oa_thrift {
	uint8_t *mem; /* the owner's to free */
	size_t len, cap;
	bool compact;
	bool failed; /* no memory */
	uint8_t depth;
	int16_t last_id[OA_THRIFT_DEPTH]; /* field written last in each open struct */
};

void oa_thrift_reset(struct oa_thrift *t, bool compact);

/* A struct's begin and end. As a value of a field: oa_thrift_field(…, OA_THRIFT_STRUCT) comes first. */
void oa_thrift_open(struct oa_thrift *t);
void oa_thrift_close(struct oa_thrift *t);

void oa_thrift_field(struct oa_thrift *t, int16_t id, enum oa_thrift_type type);
void oa_thrift_field_i32(struct oa_thrift *t, int16_t id, int32_t value);
void oa_thrift_field_i64(struct oa_thrift *t, int16_t id, int64_t value);
void oa_thrift_field_bool(struct oa_thrift *t, int16_t id, bool value);
/* Made valid UTF-8. */
void oa_thrift_field_text(struct oa_thrift *t, int16_t id, struct oa_bytes first, struct oa_bytes second);
/* The head of a list of structs; `count` of them follow. */
void oa_thrift_field_list(struct oa_thrift *t, int16_t id, unsigned count);

/* What another one of the same encoding holds, as it is. */
void oa_thrift_append(struct oa_thrift *t, const uint8_t *bytes, size_t len);
/* Head of a oneway message; its arguments follow as a struct. */
void oa_thrift_oneway(struct oa_thrift *t, const char *name, uint32_t seq);
