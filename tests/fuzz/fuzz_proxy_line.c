/* libFuzzer target: any bytes as the beginning of a connection that may have a PROXY header. */
#include "tests/fuzz/proxy_line_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *wrong = proxy_line_check(data, size);

	if (!wrong)
		return 0;
	fprintf(stderr, "%s\n", wrong);
	abort();
}
