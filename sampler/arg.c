#include "sampler/arg.h"

#include "core/config.h"
#include "core/config_value.h"
#include "sampler/sampler.h"

#define ARG_REMOTE_ENDPOINT "http://localhost:5778"
#define ARG_REMOTE_RATIO    0.001
#define ARG_REMOTE_POLL_MS  60000
#define ARG_RATE            100.0 /* traces a second */
#define ARG_TARGET          10.0
#define ARG_POLL_MIN_MS     100
#define ARG_RATE_MAX        1e6

static bool arg_wrong(struct oa_sampler_settings *s, struct oa_bytes text, const char *wanted)
{
	s->wrong = text;
	s->wanted = wanted;
	return false;
}

static bool arg_ratio(struct oa_sampler_settings *s, struct oa_bytes text)
{
	return oa_value_ratio(text, &s->ratio) || arg_wrong(s, text, "a number from 0 to 1");
}

static bool arg_rate(struct oa_sampler_settings *s, struct oa_bytes text)
{
	return oa_value_number(text, ARG_RATE_MAX, &s->rate) ||
	       arg_wrong(s, text, "a number of traces a second");
}

static bool arg_endpoint(struct oa_sampler_settings *s, struct oa_bytes text)
{
	if (!text.len)
		return arg_wrong(s, text, "a URL");
	s->endpoint = text;
	return true;
}

static bool arg_poll(struct oa_sampler_settings *s, struct oa_bytes text)
{
	int64_t ms;

	if (!oa_value_int(text, ARG_POLL_MIN_MS, 86400000, &ms))
		return arg_wrong(s, text, "a number of milliseconds, at least 100");
	s->poll_ms = (uint64_t)ms;
	return true;
}

/* endpoint=…,pollingIntervalMs=…,initialSamplingRate=… */
static void arg_remote(struct oa_sampler_settings *s, struct oa_bytes list)
{
	struct oa_bytes item;

	while (oa_value_next_item(&list, &item)) {
		const uint8_t *equals = item.len ? memchr(item.ptr, '=', item.len) : NULL;
		struct oa_bytes key = oa_bytes(item.ptr, equals ? (size_t)(equals - item.ptr) : item.len);
		struct oa_bytes value = { 0 };

		if (equals)
			value = oa_bytes_trim(oa_bytes(equals + 1, item.len - key.len - 1));
		key = oa_bytes_trim(key);
		if (oa_bytes_ieq(key, OA_LIT("endpoint")))
			(void)arg_endpoint(s, value);
		else if (oa_bytes_ieq(key, OA_LIT("pollingintervalms")))
			(void)arg_poll(s, value);
		else if (oa_bytes_ieq(key, OA_LIT("initialsamplingrate")))
			(void)arg_ratio(s, value);
		else if (item.len)
			(void)arg_wrong(s, item, "endpoint=…, pollingIntervalMs=… or initialSamplingRate=…");
	}
}

void oa_sampler_settings(struct oa_sampler_settings *ret)
{
	enum oa_sampler_arg kind = oa_samplers[oa_config.sampler]->arg;
	struct oa_bytes text = oa_bytes_str(oa_config.sampler_arg);

	*ret = (struct oa_sampler_settings){ .ratio = 1, .rate = ARG_RATE, .poll_ms = ARG_REMOTE_POLL_MS,
					     .endpoint = OA_LIT(ARG_REMOTE_ENDPOINT) };
	if (kind == OA_ARG_REMOTE)
		ret->ratio = ARG_REMOTE_RATIO;
	if (kind == OA_ARG_TARGET)
		ret->rate = ARG_TARGET;
	if (!text.len || kind == OA_ARG_NONE)
		return;
	if (kind == OA_ARG_RATIO)
		(void)arg_ratio(ret, text);
	else if (kind == OA_ARG_REMOTE)
		arg_remote(ret, text);
	else
		(void)arg_rate(ret, text);
}

void oa_class_set_rate(struct oa_class *c, double rate)
{
	double interval = rate > 0 ? 1e9 / rate : 0;

	if (interval > 1e18)
		interval = 0;
	atomic_store(&c->interval_ns, (uint64_t)interval);
	atomic_store(&c->burst_ns, (uint64_t)(rate > 1 ? 1e9 : interval));
}
