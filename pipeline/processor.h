#pragma once
/* What happens to a record between the ring and the exporters, in the order of processors.def. */
#include "core/span.h"
#include "core/tree.h"

struct oa_processor {
	const char *name;
	int (*open)(void);
	/* May add texts to the record. returns 0, or -ECANCELED: later processors do not see it. */
	int (*on_span)(struct oa_span_buf *span, const struct oa_proc_id *who);
	/* What on_span did cannot be seen afterwards: it is not done again for a record whose
	 * process died in or behind it, which is counted as lost. Behind such a processor only such
	 * ones come. */
	bool counts;
	/* Called right before on_span, for what may be done twice. The shorter on_span, the fewer
	 * records are lost in it. */
	void (*prepare)(const struct oa_span *span);
	void (*on_tick)(uint64_t now_ns); /* every turn of the side thread */
	bool (*busy)(uint64_t until_ns);  /* a flush waits: something is under way that may be over by then */
	void (*flush)(void);
	void (*adopted)(const struct oa_proc_id *who); /* nothing more will come of this dead process */
	void (*forget)(void); /* child after fork */
};

extern const struct oa_processor *const oa_processors[];
