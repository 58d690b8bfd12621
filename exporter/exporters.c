#include "exporter/exporter.h"

#define OA_EXPORTER(file) extern const struct oa_exporter oa_exporter_##file;
#include "exporter/exporters.def"
#undef OA_EXPORTER

#define OA_EXPORTER(file) &oa_exporter_##file,
const struct oa_exporter *const oa_exporters[] = {
#include "exporter/exporters.def"
	NULL,
};
#undef OA_EXPORTER
