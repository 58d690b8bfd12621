/* libFuzzer target: any bytes as either direction of a kafka connection. */
#include "tests/fuzz/store_check.h"

extern const struct oa_proto oa_proto_kafka;
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return store_fuzz(&oa_proto_kafka, data, size);
}
