#pragma once
/* Views of OpenTelemetry's metrics SDK: which streams come of which instruments. They are set at activation, before the tree is
 * mapped, and stay. A view changes the stream of each instrument that it selects; a second one that selects the same adds a
 * stream. Of metrics that are only observed (core/observed.def, otelauto_*) it drops and describes. */
#include "core/series.h"

#define OA_VIEWS_MAX 32

enum oa_view_sort { OA_VIEW_ANY, OA_VIEW_COUNTER, OA_VIEW_UPDOWN, OA_VIEW_GAUGE, OA_VIEW_HISTOGRAM };

enum oa_view_aggregation {
	OA_VIEW_DEFAULT,
	OA_VIEW_DROP,
	OA_VIEW_EXPLICIT,
	OA_VIEW_EXPONENTIAL,
	OA_VIEW_SUM,
	OA_VIEW_LAST_VALUE,
};

struct oa_view {
	/* selects; NULL: any */
	const char *instrument; /* pattern of the name */
	const char *unit;
	enum oa_view_sort sort;
	bool observed; /* only what is observed */
	/* the stream; NULL or 0: as the instrument has it */
	const char *name, *help;
	enum oa_view_aggregation aggregation;
	const double *bounds; /* NULL: OpenTelemetry's */
	unsigned bounds_count;
	unsigned exp_size;
	unsigned exp_coarser;
	unsigned series_max;
	const char *included, *excluded; /* patterns of attributes, joined by commas; NULL: all, none */
};

/* What of a view has no place here; the rest of it counts. */
enum oa_view_trouble {
	OA_VIEW_NO_NAME = 1,        /* malformed, too long, in use (also as the endpoint writes it), or for several instruments */
	OA_VIEW_NO_AGGREGATION = 2, /* of an instrument of this sort */
	OA_VIEW_NO_BOUNDS = 4,      /* do not rise, are too many, or cannot be told from one another */
	OA_VIEW_NO_KEYS = 8,        /* of a metric that is observed */
	OA_VIEW_NO_STREAM = 16,     /* it would have the name of another one, or there is no room: nothing of it counts */
	OA_VIEW_NO_LIMIT = 32,      /* higher than the one of all series, or of a metric that is observed */
};

/* Texts are copied. returns bits of enum oa_view_trouble
 * runs on   host thread, at activation; signal-safe: yes; heap: no; blocks: no */
unsigned oa_view_add(const struct oa_view *view);

/* Limit of series for streams of which no view gives one. sort: OA_VIEW_COUNTER or OA_VIEW_HISTOGRAM; after the last view */
void oa_view_limit(enum oa_view_sort sort, unsigned series_max);

/* What views make of a metric that is observed, by either of its names. runs on   any thread */
struct oa_view_observed {
	bool dropped;
	const char *help; /* NULL: its own */
};
struct oa_view_observed oa_view_of_observed(const char *name, bool counter);

/* As if there were none. For tests. */
void oa_views_forget(void);
