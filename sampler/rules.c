#include "sampler/rules.h"

#include <errno.h>

#include "core/config_value.h"
#include "core/span.h"
#include "core/sys.h"
#include "core/tree.h"
#include "sampler/arg.h"
#include "sampler/keep.h"

/* -- one at a time -- */

bool oa_sampling_turn(_Atomic uint64_t *due_ns, uint64_t now_ns, uint64_t period_ns)
{
	uint64_t due = atomic_load_explicit(due_ns, memory_order_relaxed);

	return now_ns >= due && atomic_compare_exchange_strong(due_ns, &due, now_ns + period_ns);
}

static bool rules_pid_lives(uint32_t pid)
{
	return oa_sys2(SYS_kill, pid, 0) != -ESRCH;
}

static bool rules_lock(struct oa_sampling *s)
{
	uint32_t self = (uint32_t)oa_sys0(SYS_getpid), holder = 0;

	if (atomic_compare_exchange_strong(&s->writer, &holder, self))
		return true;
	/* One that died in between changed nothing but the copy that is not in force. */
	return !rules_pid_lives(holder) && atomic_compare_exchange_strong(&s->writer, &holder, self);
}

static void rules_unlock(struct oa_sampling *s)
{
	atomic_store(&s->writer, 0);
}

/* -- conditions -- */

static const struct {
	const char *name;
	uint8_t attr;
} rules_attrs[] = {
	{ "http.request.method", OA_RULE_METHOD }, { "url.path", OA_RULE_PATH },
	{ "url.query", OA_RULE_QUERY },		   { "url.scheme", OA_RULE_SCHEME },
	{ "server.address", OA_RULE_HOST },	   { "server.port", OA_RULE_PORT },
	{ "user_agent.original", OA_RULE_USER_AGENT }, { "network.peer.address", OA_RULE_PEER },
	{ "span.kind", OA_RULE_KIND },
};

static bool rules_attr(struct oa_rule_cond *cond, struct oa_bytes name)
{
	static const char header[] = "http.request.header.";
	size_t len = sizeof(header) - 1;

	for (unsigned i = 0; i < sizeof(rules_attrs) / sizeof(*rules_attrs); i++)
		if (oa_bytes_eq(name, oa_bytes_str(rules_attrs[i].name))) {
			cond->attr = rules_attrs[i].attr;
			return true;
		}
	if (name.len <= len || memcmp(name.ptr, header, len) || name.len - len > sizeof(cond->key))
		return false;
	cond->attr = OA_RULE_HEADER;
	cond->key_len = (uint8_t)(name.len - len);
	for (unsigned i = 0; i < cond->key_len; i++)
		cond->key[i] = (char)oa_lower(name.ptr[len + i]);
	return true;
}

static const char *rules_conds(struct oa_rules_draft *d, struct oa_rule *to, const struct oa_rule_spec *rule)
{
	to->cond = (uint16_t)d->conds;
	for (unsigned i = 0; i < rule->conds; i++) {
		struct oa_bytes glob = rule->cond[i].glob;
		struct oa_rule_cond *cond;

		if (d->conds == OA_RULE_CONDS_MAX)
			return "there are more than 512 conditions";
		cond = &d->table->cond[d->conds];
		*cond = (struct oa_rule_cond){ 0 };
		if (!rules_attr(cond, rule->cond[i].attr))
			return "an attribute is not known when a request begins";
		if (!glob.len || glob.len >= sizeof(cond->glob))
			return "the value of an attribute is empty or longer than 127 bytes";
		memcpy(cond->glob, glob.ptr, glob.len);
		cond->glob_len = (uint8_t)glob.len;
		d->conds++;
		to->conds++;
	}
	return NULL;
}

/* -- rules -- */

static const char *rules_methods(struct oa_rule *to, struct oa_bytes list)
{
	struct oa_bytes item;

	while (oa_value_next_item(&list, &item)) {
		enum oa_method m = oa_method_parse(item);

		if (m == OA_METHOD_OTHER && !oa_bytes_eq(item, OA_LIT("_OTHER")))
			return "a method is none of CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE, QUERY, _OTHER";
		to->methods |= (uint16_t)(1u << m);
	}
	return NULL;
}

static const char *rules_shares(const struct oa_rule_spec *rule)
{
	if (rule->ratio > 1 || !(rule->ratio == rule->ratio))
		return "ratio is not a number from 0 to 1";
	if (rule->rate > 1e6 || !(rule->rate == rule->rate))
		return "rate is not a number of traces a second, at most 1000000";
	if (!(rule->weight > 0) || rule->weight > 1e6)
		return "weight is not a number above 0, at most 1000000";
	return NULL;
}

/* Which depths of paths are asked about it. */
static void rules_place(struct oa_rule_table *t, unsigned index)
{
	const struct oa_rule *rule = &t->rule[index];
	struct oa_bytes route = oa_bytes(rule->route, rule->route_len);
	unsigned depth = oa_path_slashes(route), from = depth, to = depth;

	if (!route.len)
		from = 0;
	if (!route.len || oa_path_is_prefix(route))
		to = OA_RULE_DEPTHS - 1;
	for (unsigned i = from; i <= to && i < OA_RULE_DEPTHS; i++)
		t->asked[i][t->asked_count[i]++] = (uint8_t)index;
}

static void rules_name(char ret_name[OA_RULE_NAME_MAX], const struct oa_rule_spec *rule, unsigned index)
{
	struct oa_buf out = oa_buf(ret_name, OA_RULE_NAME_MAX - 1);

	if (rule->name.len) {
		(void)oa_buf_put(&out, oa_bytes_cut(rule->name, out.cap));
	} else if (!index) {
		(void)oa_buf_put(&out, OA_LIT("default"));
	} else {
		(void)oa_buf_put(&out, oa_bytes_cut(rule->method, 24));
		if (rule->method.len && rule->route.len)
			(void)oa_buf_put(&out, OA_LIT(" "));
		(void)oa_buf_put(&out, oa_bytes_cut(rule->route, out.cap - out.len));
		if (!out.len)
			(void)oa_buf_put(&out, OA_LIT("rule"));
	}
	ret_name[out.len] = '\0';
}

static bool rules_name_taken(const struct oa_rules_draft *d, unsigned before, uint64_t id)
{
	while (before--)
		if (d->cls[before].id == id)
			return true;
	return false;
}

static void rules_class(struct oa_rules_draft *d, unsigned index, const struct oa_rule_spec *rule)
{
	char *name = d->cls[index].name;
	size_t len;

	rules_name(name, rule, index);
	len = strlen(name);
	/* Two rules of one name are two classes all the same. */
	for (unsigned n = 2;; n++) {
		char digits[4] = { '#', (char)('0' + n / 100 % 10), (char)('0' + n / 10 % 10), (char)('0' + n % 10) };

		d->cls[index].id = oa_hash(0, name, strlen(name)) | 1;
		if (!rules_name_taken(d, index, d->cls[index].id) || n > OA_CLASSES_MAX)
			break;
		if (len > OA_RULE_NAME_MAX - 5)
			len = OA_RULE_NAME_MAX - 5;
		memcpy(name + len, digits, 4);
		name[len + 4] = '\0';
	}
	d->cls[index].ratio = rule->ratio;
	d->cls[index].rate = rule->rate;
	d->cls[index].weight = rule->weight;
}

static const char *rules_fill(struct oa_rules_draft *d, unsigned index, const struct oa_rule_spec *rule)
{
	struct oa_rule *to = &d->table->rule[index];
	const char *wrong = rules_shares(rule);

	*to = (struct oa_rule){ 0 };
	if (!wrong)
		wrong = rules_methods(to, rule->method);
	if (wrong)
		return wrong;
	if (rule->route.len && (rule->route.ptr[0] != '/' || rule->route.len > OA_RULE_ROUTE_MAX))
		return "route does not begin with / or is longer than 160 bytes";
	if (rule->route.len)
		memcpy(to->route, rule->route.ptr, rule->route.len);
	to->route_len = (uint8_t)rule->route.len;
	d->table->sieve[index] = oa_path_sieve(rule->route, true);
	if (rule->param.len && rule->param.len <= sizeof(to->param)) {
		memcpy(to->param, rule->param.ptr, rule->param.len);
		to->param_len = (uint8_t)rule->param.len;
	}
	wrong = rules_conds(d, to, rule);
	if (!wrong)
		rules_class(d, index, rule);
	return wrong;
}

bool oa_rules_begin(struct oa_rules_draft *d, const struct oa_rule_spec *rest)
{
	struct oa_sampling *s = oa_sampling();

	if (!rules_lock(s))
		return false;
	memset(d, 0, sizeof(*d));
	d->s = s;
	d->table = &s->table[(atomic_load(&s->table_version) + 1) & 1];
	d->table->count = 0;
	memset(d->table->asked_count, 0, sizeof(d->table->asked_count));
	(void)rules_fill(d, 0, rest);
	return true;
}

const char *oa_rules_add(struct oa_rules_draft *d, const struct oa_rule_spec *rule)
{
	unsigned index = d->table->count + 1u;
	const char *wrong;

	if (index == OA_CLASSES_MAX)
		return "there are more than 255 rules";
	wrong = rules_fill(d, index, rule);
	if (wrong)
		return wrong;
	d->table->count++;
	rules_place(d->table, index);
	return NULL;
}

/* -- taking over -- */

static void rules_set_class(struct oa_class *c, const struct oa_rules_draft *d, unsigned index)
{
	double ratio = d->cls[index].ratio, rate = d->cls[index].rate;
	bool fixed = ratio >= 0 || rate >= 0;

	if (c->id != d->cls[index].id) {
		memset((void *)c, 0, sizeof(*c));
		c->id = d->cls[index].id;
	}
	memcpy(c->name, d->cls[index].name, sizeof(c->name));
	c->adaptive.weight = d->cls[index].weight;
	oa_class_set_rate(c, rate);
	if (ratio >= 0)
		atomic_store(&c->threshold, oa_th_of(ratio));
	else if (!fixed && atomic_load(&c->fixed))
		atomic_store(&c->threshold, 0); /* the controller takes over */
	atomic_store(&c->mode, rate < 0 ? OA_CLASS_RATIO : ratio < 0 ? OA_CLASS_RATE : OA_CLASS_GUARANTEED);
	atomic_store(&c->fixed, fixed);
	atomic_store(&c->used, 1);
}

/* The class that has this name, else one that was never used, else one that no rule names any more. */
static unsigned rules_find_class(const struct oa_sampling *s, uint64_t id, const bool *taken)
{
	unsigned unused = 0, idle = 0;

	for (unsigned i = 1; i < OA_CLASSES_MAX; i++) {
		if (s->cls[i].id == id)
			return i;
		if (taken[i])
			continue;
		if (!s->cls[i].id && !unused)
			unused = i;
		else if (s->cls[i].id && !atomic_load(&s->cls[i].used) && !idle)
			idle = i;
	}
	return unused ? unused : idle;
}

static void rules_drop_unnamed(struct oa_rules_draft *d)
{
	for (unsigned i = 1; i < OA_CLASSES_MAX; i++) {
		bool named = false;

		for (unsigned r = 1; r <= d->table->count; r++)
			named |= d->s->cls[i].id == d->cls[r].id;
		if (!named)
			atomic_store(&d->s->cls[i].used, 0);
	}
}

void oa_rules_commit(struct oa_rules_draft *d, uint64_t id)
{
	bool taken[OA_CLASSES_MAX] = { true };

	rules_drop_unnamed(d);
	d->s->cls[0].id = d->cls[0].id; /* the rest is always class 0 */
	rules_set_class(&d->s->cls[0], d, 0);
	d->table->rule[0].cls = 0;
	for (unsigned r = 1; r <= d->table->count; r++) {
		unsigned cls = rules_find_class(d->s, d->cls[r].id, taken);

		taken[cls] = true;
		d->table->rule[r].cls = (uint8_t)cls;
		rules_set_class(&d->s->cls[cls], d, r);
	}
	atomic_fetch_add_explicit(&d->s->table_version, 1, memory_order_release);
	atomic_store(&d->s->rules_id, id);
	rules_unlock(d->s);
}

void oa_rules_abandon(struct oa_rules_draft *d)
{
	rules_unlock(d->s);
}
