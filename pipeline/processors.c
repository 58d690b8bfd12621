/* The table behind processors.def. */
#include "pipeline/processor.h"

#include <stddef.h>

#define OA_PROCESSOR(file) extern const struct oa_processor oa_processor_##file;
#include "pipeline/processors.def"
#undef OA_PROCESSOR

const struct oa_processor *const oa_processors[] = {
#define OA_PROCESSOR(file) &oa_processor_##file,
#include "pipeline/processors.def"
#undef OA_PROCESSOR
	NULL,
};
