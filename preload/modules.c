/* The table of modules: modules.def made real. */
#include <stddef.h>

#include "conn/conn.h"
#include "core/arena.h"
#include "core/fork_gate.h"
#include "core/id.h"
#include "core/log.h"
#include "core/stats.h"
#include "core/tree.h"
#include "pipeline/pipeline.h"
#include "preload/module.h"
#include "preload/side_thread.h"
#include "sampler/sampler.h"

static void modules_side_thread_child(void)
{
	oa_side_thread_forget();
	oa_fork_gate_reset();
}

const struct oa_module oa_modules[] = {
#define OA_MODULE(name, init, fork_before, fork_parent, fork_child) \
	{ #name, init, fork_before, fork_parent, fork_child },
#include "preload/modules.def"
#undef OA_MODULE
};

const unsigned oa_modules_count = sizeof(oa_modules) / sizeof(oa_modules[0]);
