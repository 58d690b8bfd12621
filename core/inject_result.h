#pragma once
/* What became of context injection for one outgoing request; exported as
 * otelauto_injections_total{result=…}. inject_result.def has the list. */

enum oa_inject_result {
#define OA_INJECT(id, name, help) OA_INJECT_##id,
#include "core/inject_result.def"
#undef OA_INJECT
	OA_INJECT_COUNT,
};

const char *oa_inject_name(enum oa_inject_result r);
