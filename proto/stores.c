/* The table of stores' parsers. */
#include "proto/store.h"

#define OA_PROTO(name) extern const struct oa_proto oa_proto_##name;
#include "proto/stores.def"
#undef OA_PROTO

const struct oa_proto *const oa_stores[] = {
#define OA_PROTO(name) &oa_proto_##name,
#include "proto/stores.def"
#undef OA_PROTO
	NULL,
};
