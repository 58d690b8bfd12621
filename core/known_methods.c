/* Which request methods are exported under their own name: those of
 * OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS, or the built-in ones of enum oa_method. Only listed
 * names come out, so that a client cannot make up labels. */
#include "core/config.h"
#include "core/config_value.h"
#include "core/span.h"

static bool method_listed(struct oa_bytes list, struct oa_bytes name)
{
	struct oa_bytes item;

	while (oa_value_next_item(&list, &item))
		if (item.len && oa_bytes_eq(item, name))
			return true;
	return false;
}

struct oa_bytes oa_method_exported(struct oa_bytes name)
{
	const char *list = oa_config.known_methods;
	bool known = list && *list ? method_listed(oa_bytes_str(list), name)
				   : oa_method_parse(name) != OA_METHOD_OTHER;

	return known ? name : oa_bytes_str(oa_method_name(OA_METHOD_OTHER));
}

struct oa_bytes oa_span_method_sent(const struct oa_span *s)
{
	if (s->method == OA_METHOD_OTHER)
		return oa_span_str(s, OA_STR_METHOD);
	return oa_bytes_str(oa_method_name((enum oa_method)s->method));
}

struct oa_bytes oa_span_method(const struct oa_span *s)
{
	const char *list = oa_config.known_methods;

	if (!list || !*list)
		return oa_bytes_str(oa_method_name((enum oa_method)s->method));
	return oa_method_exported(oa_span_method_sent(s));
}
