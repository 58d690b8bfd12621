/* The table of parsers: one line of protocols.def each. */
#include "proto/proto.h"
#include "core/attr.h"

#define OA_PROTO(name) extern const struct oa_proto oa_proto_##name;
#include "proto/protocols.def"
#undef OA_PROTO

const struct oa_proto *const oa_protos[] = {
#define OA_PROTO(name) &oa_proto_##name,
#include "proto/protocols.def"
#undef OA_PROTO
	NULL,
};

OA_HOT uint8_t oa_proto_number(const struct oa_proto *p)
{
	for (unsigned i = 0; oa_protos[i]; i++)
		if (oa_protos[i] == p)
			return (uint8_t)(i + 1);
	return 0;
}
