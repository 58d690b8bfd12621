#pragma once
/* The resource attributes that differ from process to process, for exporters: those of a batch whose process may be
 * dead already. */
#include "core/tree.h"
#include "exporter/exporter.h"

#define OA_PROC_ATTRS_MAX 4

struct oa_proc_attrs {
	struct oa_attr attr[OA_PROC_ATTRS_MAX];
	unsigned count;
	char instance_id[37];    /* UUID */
	char creation_time[32];  /* ISO 8601, UTC, milliseconds */
};

/* service.instance.id, process.pid, process.parent_pid, process.creation.time. The strings lie in *ret.
 * runs on   side thread; locks: none; heap: no; blocks: no */
void oa_proc_attrs(struct oa_proc_attrs *ret, const struct oa_proc_id *who);
