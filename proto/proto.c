/* The table of parsers: one line of protocols.def each. */
#include "proto/proto.h"

#define OA_PROTO(name) extern const struct oa_proto oa_proto_##name;
#include "proto/protocols.def"
#undef OA_PROTO

const struct oa_proto *const oa_protos[] = {
#define OA_PROTO(name) &oa_proto_##name,
#include "proto/protocols.def"
#undef OA_PROTO
	NULL,
};
