#include "core/views.h"

#include "core/bytes.h"
#include "core/config.h"
#include "core/prom_name.h"
#include "core/stats.h"

#define VIEWS_TEXT_MAX 16384
#define VIEWS_NAME_MAX 100 /* of a stream */
#define VIEWS_OWN      "otelauto_"

static struct oa_view views[OA_VIEWS_MAX];
static unsigned views_count;
static char views_text[VIEWS_TEXT_MAX];
static size_t views_text_used;
static struct views_bounds {
	double bounds[OA_BOUNDS_MAX];
	uint64_t limits[2][OA_BOUNDS_MAX]; /* as recorded: whole numbers, nanoseconds */
} views_bounds[OA_VIEWS_MAX];

/* Before the first view. */
static struct oa_stream views_own[OA_INS_COUNT];
static bool views_matched[OA_INS_COUNT], views_taken[OA_INS_COUNT]; /* by any view; by one that does not drop */

struct views_metric {
	const char *name, *prom, *unit, *keys;
	enum oa_view_sort sort;
};

/* With their texts behind one another: pointers would have to be relocated in every process that starts. */
static const char views_observed_texts[] =
#define OA_OBSERVED(name, prom, unit, sort, keys) name "\0" prom "\0" unit "\0" keys "\0"
#include "core/observed.def"
#undef OA_OBSERVED
	;
static const uint8_t views_observed_sorts[] = {
#define OA_OBSERVED(name, prom, unit, sort, keys) OA_VIEW_##sort,
#include "core/observed.def"
#undef OA_OBSERVED
};

#define VIEWS_OBSERVED (sizeof(views_observed_sorts) / sizeof(views_observed_sorts[0]))

/* at: views_observed_texts at first; goes on to the next one's */
static struct views_metric views_observed_next(unsigned i, const char **at)
{
	struct views_metric m = { .sort = views_observed_sorts[i] };

	m.name = oa_text_next(at);
	m.prom = oa_text_next(at);
	m.unit = oa_text_next(at);
	m.keys = oa_text_next(at);
	return m;
}

/* -- selecting -- */

/* Names of instruments have no case. */
static bool views_name_is(const char *pattern, const char *name)
{
	uint8_t lower[256];
	size_t len = strlen(pattern);

	if (len > sizeof(lower))
		return false;
	for (size_t i = 0; i < len; i++)
		lower[i] = oa_lower((uint8_t)pattern[i]);
	return oa_glob_match_bytes(oa_bytes(lower, len), oa_bytes_str(name));
}

static bool views_selects(const struct oa_view *v, const char *name, const char *unit, enum oa_view_sort sort)
{
	return (!v->instrument || views_name_is(v->instrument, name)) && (!v->unit || !strcmp(v->unit, unit)) &&
	       (v->sort == OA_VIEW_ANY || v->sort == sort);
}

static bool views_selects_instrument(const struct oa_view *v, unsigned ins)
{
	const struct oa_stream *s = &views_own[ins];

	return !v->observed && views_selects(v, s->name, s->unit, s->kind == OA_STREAM_SUM ? OA_VIEW_COUNTER : OA_VIEW_HISTOGRAM);
}

static bool views_selects_stat(const struct oa_view *v, unsigned stat)
{
	return views_selects(v, oa_stat_info(stat).metric, "1", OA_VIEW_COUNTER);
}

static unsigned views_selected_count(const struct oa_view *v)
{
	unsigned count = 0;

	for (unsigned ins = 0; ins < OA_INS_COUNT; ins++)
		count += views_selects_instrument(v, ins);
	return count;
}

static bool views_keeps_key(const struct oa_view *v, const char *key)
{
	return (!v->included || oa_glob_list_match(v->included, key)) && !(v->excluded && oa_glob_list_match(v->excluded, key));
}

static uint32_t views_labels_dropped(const struct oa_view *v)
{
	uint32_t dropped = 0;

	for (unsigned label = 0; label < OA_LABEL_COUNT; label++)
		if (label != OA_LABEL_overflow && !views_keeps_key(v, oa_labels[label].name))
			dropped |= 1u << label;
	return dropped;
}

/* -- what a view says, kept -- */

static bool views_keep_text(const char **text)
{
	size_t len = *text ? strlen(*text) + 1 : 0;

	if (len > VIEWS_TEXT_MAX - views_text_used)
		return false;
	if (len)
		*text = memcpy(views_text + views_text_used, *text, len);
	views_text_used += len;
	return true;
}

/* returns false when they do not rise, also as they are recorded */
static bool views_limits(struct views_bounds *b, unsigned count, bool seconds)
{
	uint64_t *limits = b->limits[seconds];

	for (unsigned i = 0; i < count; i++) {
		double limit = seconds ? b->bounds[i] * 1e9 + 0.5 : b->bounds[i];

		if (!(limit >= 0 && limit < 9e18))
			return false;
		limits[i] = (uint64_t)limit;
		if (i && limits[i] <= limits[i - 1])
			return false;
	}
	return true;
}

static bool views_keep_bounds(struct oa_view *v)
{
	static const double usual[] = { 0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000 };
	struct views_bounds *b = &views_bounds[v - views];

	if (v->aggregation != OA_VIEW_EXPLICIT)
		return true;
	if (!v->bounds) {
		v->bounds = usual;
		v->bounds_count = sizeof(usual) / sizeof(usual[0]);
	}
	if (v->bounds_count > OA_BOUNDS_MAX)
		return false;
	memcpy(b->bounds, v->bounds, v->bounds_count * sizeof(double));
	v->bounds = b->bounds;
	return true;
}

/* -- streams -- */

static uint8_t views_plain(uint8_t c) { return c == '.' || c == '-' || c == '/' ? '_' : oa_lower(c); }

/* Names of instruments, to whoever they are pushed. */
static bool views_same_name(const char *a, const char *b)
{
	while (*a && views_plain((uint8_t)*a) == views_plain((uint8_t)*b)) {
		a++;
		b++;
	}
	return !*a && !*b;
}

static bool views_is_of_stream(const char *name, const char *prom, const struct oa_stream *s)
{
	char other[OA_PROM_NAME_MAX];

	(void)oa_prom_name(other, s->name, s->unit);
	return views_same_name(name, s->name) || oa_prom_names_clash(prom, other);
}

/* As it is pushed, and as the endpoint writes it. */
static bool views_name_is_free(const char *name, const char *unit, unsigned of_stream)
{
	const char *at = views_observed_texts;
	char prom[OA_PROM_NAME_MAX];

	(void)oa_prom_name(prom, name, unit);
	for (unsigned i = 0; i < oa_streams_count; i++)
		if (i != of_stream && oa_streams[i].kind != OA_STREAM_DROPPED && views_is_of_stream(name, prom, &oa_streams[i]))
			return false;
	for (unsigned i = 0; i < VIEWS_OBSERVED; i++) {
		struct views_metric m = views_observed_next(i, &at);

		if (views_same_name(name, m.name) || oa_prom_names_clash(prom, m.prom))
			return false;
	}
	return !oa_prom_names_clash(prom, "target_info");
}

/* Of what we say of ourselves; an instrument of ours keeps its name. */
static bool views_is_reserved(const char *name, unsigned ins)
{
	for (size_t i = 0; i < sizeof(VIEWS_OWN) - 1; i++)
		if (views_plain((uint8_t)name[i]) != VIEWS_OWN[i])
			return false;
	return !views_same_name(name, views_own[ins].name);
}

static bool views_is_letter(uint8_t c) { return (uint8_t)(oa_lower(c) - 'a') < 26; }

/* By the specification's rules. */
static bool views_name_is_good(const char *name)
{
	if (!views_is_letter((uint8_t)*name) || strlen(name) > VIEWS_NAME_MAX)
		return false;
	for (; *name; name++)
		if (!views_is_letter((uint8_t)*name) && (uint8_t)(*name - '0') > 9 && !strchr("_.-/", *name))
			return false;
	return true;
}

static unsigned views_set_bounds(const struct oa_view *v, struct oa_stream *s)
{
	struct views_bounds *b = &views_bounds[v - views];
	bool seconds = s->unit[0] == 's';

	if (!views_limits(b, v->bounds_count, seconds))
		return OA_VIEW_NO_BOUNDS;
	s->bounds = b->bounds;
	s->limits = b->limits[seconds];
	s->bounds_count = v->bounds_count;
	s->kind = OA_STREAM_HISTOGRAM;
	s->kind_is_asked_for = true;
	return 0;
}

static unsigned views_set_aggregation(const struct oa_view *v, struct oa_stream *s)
{
	switch (v->aggregation) {
	case OA_VIEW_EXPLICIT:
		return views_set_bounds(v, s);
	case OA_VIEW_EXPONENTIAL:
		s->kind = OA_STREAM_EXPONENTIAL;
		s->kind_is_asked_for = true;
		s->exp_size = (uint16_t)v->exp_size;
		s->exp_coarser = (uint8_t)v->exp_coarser;
		return 0;
	case OA_VIEW_SUM:
		s->kind = OA_STREAM_SUM;
		s->bounds_count = 0;
		return 0;
	case OA_VIEW_LAST_VALUE:
		return OA_VIEW_NO_AGGREGATION;
	default:
		return 0;
	}
}

/* The stream of one more view. returns which, oa_streams_count when there is no room for it */
static unsigned views_place(unsigned ins)
{
	if (!views_taken[ins])
		return ins;
	return oa_streams_count < OA_METRIC_STREAMS_MAX ? oa_streams_count : OA_METRIC_STREAMS_MAX;
}

static unsigned views_make(const struct oa_view *v, unsigned ins)
{
	struct oa_stream made = views_own[ins];
	unsigned at = views_place(ins), trouble;

	if (at == OA_METRIC_STREAMS_MAX)
		return OA_VIEW_NO_STREAM;
	trouble = views_set_aggregation(v, &made);
	if (v->name && !views_is_reserved(v->name, ins) && views_name_is_free(v->name, made.unit, at))
		made.name = v->name;
	else if (v->name)
		trouble |= OA_VIEW_NO_NAME;
	if (!views_name_is_free(made.name, made.unit, at))
		return trouble | OA_VIEW_NO_STREAM;
	made.help = v->help ? v->help : made.help;
	made.labels_dropped = views_labels_dropped(v);
	made.series_max = v->series_max;
	oa_streams[at] = made;
	oa_streams_count += at == oa_streams_count;
	views_matched[ins] = views_taken[ins] = true;
	return trouble;
}

static unsigned views_apply(const struct oa_view *v, unsigned ins)
{
	if (v->aggregation != OA_VIEW_DROP)
		return views_make(v, ins);
	if (!views_matched[ins])
		oa_streams[ins].kind = OA_STREAM_DROPPED;
	views_matched[ins] = true;
	return 0;
}

/* -- what is observed -- */

static unsigned views_trouble_observed(const struct oa_view *v, enum oa_view_sort sort, const char *keys)
{
	struct oa_bytes rest = oa_bytes_str(keys);
	unsigned trouble = v->name ? OA_VIEW_NO_NAME : 0;
	const char *end;

	if (v->aggregation == OA_VIEW_DROP)
		return 0;
	if (v->aggregation == OA_VIEW_EXPLICIT || v->aggregation == OA_VIEW_EXPONENTIAL ||
	    v->aggregation == (sort == OA_VIEW_GAUGE ? OA_VIEW_SUM : OA_VIEW_LAST_VALUE))
		trouble |= OA_VIEW_NO_AGGREGATION;
	for (; rest.len; rest = *end ? oa_bytes_str(end + 1) : (struct oa_bytes){ 0 }) {
		char key[64];

		end = strchrnul((const char *)rest.ptr, ',');
		memcpy(key, rest.ptr, (size_t)(end - (const char *)rest.ptr));
		key[end - (const char *)rest.ptr] = '\0';
		if (!views_keeps_key(v, key))
			trouble |= OA_VIEW_NO_KEYS;
	}
	return trouble;
}

static unsigned views_trouble(const struct oa_view *v)
{
	const char *at = views_observed_texts;
	unsigned trouble = 0;

	for (unsigned i = 0; i < VIEWS_OBSERVED; i++) {
		struct views_metric m = views_observed_next(i, &at);

		if (views_selects(v, m.name, m.unit, m.sort))
			trouble |= views_trouble_observed(v, m.sort, m.keys);
	}
	for (unsigned i = 0; i < OA_STAT_COUNT; i++)
		if (views_selects_stat(v, i))
			trouble |= views_trouble_observed(v, OA_VIEW_COUNTER, oa_stat_info(i).label);
	return trouble;
}

struct oa_view_observed oa_view_of_observed(const char *name, bool counter)
{
	struct views_metric m = { .name = name, .unit = "1", .sort = counter ? OA_VIEW_COUNTER : OA_VIEW_GAUGE };
	struct oa_view_observed ret = { 0 };
	const char *at = views_observed_texts;
	bool shown = false;

	for (unsigned i = 0; views_count && i < VIEWS_OBSERVED; i++) {
		struct views_metric known = views_observed_next(i, &at);

		if (!strcmp(name, known.name) || !strcmp(name, known.prom))
			m = known;
	}
	for (unsigned i = 0; i < views_count; i++) {
		const struct oa_view *v = &views[i];

		if (!views_selects(v, m.name, m.unit, m.sort))
			continue;
		if (v->aggregation == OA_VIEW_DROP) {
			ret.dropped = !shown;
			continue;
		}
		shown = true;
		ret.dropped = false;
		ret.help = ret.help ? ret.help : v->help;
	}
	return ret;
}

/* -- all -- */

unsigned oa_view_add(const struct oa_view *view)
{
	struct oa_view *v = &views[views_count];
	unsigned trouble = 0;

	if (views_count == OA_VIEWS_MAX)
		return OA_VIEW_NO_STREAM;
	if (!views_count)
		memcpy(views_own, oa_streams, sizeof(views_own));
	*v = *view;
	if (!views_keep_text(&v->instrument) || !views_keep_text(&v->unit) || !views_keep_text(&v->help) ||
	    !views_keep_text(&v->name))
		return OA_VIEW_NO_STREAM;
	views_count++;
	if (v->name && (!views_name_is_good(v->name) || views_selected_count(v) > 1)) {
		v->name = NULL;
		trouble |= OA_VIEW_NO_NAME;
	}
	if (!views_keep_bounds(v)) {
		v->aggregation = OA_VIEW_DEFAULT;
		trouble |= OA_VIEW_NO_BOUNDS;
	}
	if (v->series_max > OA_SERIES_MAX) {
		v->series_max = 0;
		trouble |= OA_VIEW_NO_LIMIT;
	}
	for (unsigned ins = 0; ins < OA_INS_COUNT; ins++)
		if (views_selects_instrument(v, ins))
			trouble |= views_apply(v, ins);
	trouble |= views_trouble(v);
	v->included = v->excluded = NULL; /* the caller's */
	return trouble;
}

void oa_view_limit(enum oa_view_sort sort, unsigned series_max)
{
	for (unsigned i = 0; i < oa_streams_count; i++) {
		struct oa_stream *s = &oa_streams[i];
		const struct oa_stream *own = views_count ? &views_own[s->source] : &oa_streams[s->source];

		if (!s->series_max && (own->kind == OA_STREAM_SUM) == (sort == OA_VIEW_COUNTER))
			s->series_max = series_max;
	}
}

void oa_views_forget(void)
{
	if (views_count)
		memcpy(oa_streams, views_own, sizeof(views_own));
	for (unsigned i = 0; i < OA_INS_COUNT; i++)
		oa_streams[i].series_max = 0;
	oa_streams_count = OA_INS_COUNT;
	views_count = 0;
	views_text_used = 0;
	memset(views_matched, 0, sizeof(views_matched));
	memset(views_taken, 0, sizeof(views_taken));
}
