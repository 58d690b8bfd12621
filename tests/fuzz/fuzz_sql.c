/* libFuzzer target: any bytes as SQL. The first byte is the dialect. */
#include "tests/fuzz/sql_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong;

	if (!size)
		return 0;
	wrong = sql_check(oa_bytes(data + 1, size - 1), (enum oa_sql_dialect)(data[0] % 3));
	if (!wrong)
		return 0;
	fprintf(stderr, "%s\n", wrong);
	abort();
}
