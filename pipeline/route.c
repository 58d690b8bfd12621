/* Gives a record its route and its name. */
#include "pipeline/route.h"

#include "core/config.h"
#include "exporter/span_attrs.h"
#include "pipeline/processor.h"

enum {
	ROUTES_HEURISTIC,
	ROUTES_WILDCARD,
	ROUTES_PATH,
	ROUTES_UNSET
}; /* choices of OTELAUTO_ROUTES_UNMATCHED */

static struct {
	char text[OA_ROUTE_MAX + 64];
	size_t len;
} route_name;

static int route_open(void)
{
	oa_route_patterns_read(oa_config.routes);
	return 0;
}

static bool route_plain(struct oa_bytes path)
{
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] <= 0x20 || path.ptr[i] >= 0x7f || path.ptr[i] == '"' ||
		    path.ptr[i] == '\\')
			return false;
	return path.len && path.len <= OA_ROUTE_MAX;
}

/* A refused request shows nothing about which routes exist: scanners ask for whatever they like. */
static bool route_refused(const struct oa_span *s) { return s->status >= 400 && s->status < 500; }

static struct oa_bytes route_unmatched(const struct oa_span *s, struct oa_bytes path)
{
	static char guess[OA_ROUTE_MAX];

	switch (oa_config.routes_unmatched) {
	case ROUTES_HEURISTIC:
		return oa_bytes(guess, oa_route_guess(path, !route_refused(s), guess));
	case ROUTES_WILDCARD:
		return s->status == 404 ? oa_bytes(NULL, 0) : OA_LIT("/**");
	case ROUTES_PATH:
		return s->status == 404 || !route_plain(path) ? oa_bytes(NULL, 0) : path;
	default:
		return oa_bytes(NULL, 0);
	}
}

static struct oa_bytes route_of(const struct oa_span *s)
{
	struct oa_bytes path = oa_span_str(s, OA_STR_PATH), route;

	if (s->kind != OA_KIND_SERVER || !(s->flags & OA_SPAN_HAS_STATUS) || !path.len ||
	    path.ptr[0] != '/')
		return oa_bytes(NULL, 0);
	route = oa_route_pattern_find(path);
	return route.len ? route : route_unmatched(s, path);
}

static void route_name_put(struct oa_bytes text)
{
	text = oa_bytes_cut(text, sizeof(route_name.text) - route_name.len);
	memcpy(route_name.text + route_name.len, text.ptr, text.len);
	route_name.len += text.len;
}

/* Name of the protocol that took a connection over; what is no token of reasonable length is a
 * "tunnel". */
static struct oa_bytes route_tunnel_name(const struct oa_span *s)
{
	struct oa_bytes name = oa_span_str(s, OA_STR_UPGRADE);

	if (oa_bytes_ieq(name, OA_LIT("connect"))) /* `connect` is a connection that failed */
		return OA_LIT("CONNECT tunnel");
	for (size_t i = 0; i < name.len; i++)
		if ((uint8_t)(oa_lower(name.ptr[i]) - 'a') >= 26 &&
		    (uint8_t)(name.ptr[i] - '0') >= 10 &&
		    !strchr("-._/", name.ptr[i] ? name.ptr[i] : ' '))
			return OA_LIT("tunnel");
	return name.len && name.len <= 32 ? name : OA_LIT("tunnel");
}

static struct oa_bytes route_rpc_name(const struct oa_span *s)
{
	struct oa_bytes method = oa_span_rpc_method(s);

	return method.len && !oa_method_is_other(method) ? method : OA_LIT("grpc");
}

/* The summary, or the command; of one that we do not know, the system. SQL without a summary is called by what is done and
 * the database. */
static void route_put_db_name(const struct oa_span *s)
{
	struct oa_bytes command, summary = oa_span_str(s, OA_STR_DB_SUMMARY), ns = { 0 };
	struct oa_db_texts texts;
	struct oa_db db;
	char number[12];

	if (summary.len || !oa_span_db(s, &db, &texts)) {
		route_name_put(summary.len ? summary : OA_LIT("db"));
		return;
	}
	command = oa_db_command(s, &db, texts.operation);
	if (oa_messaging_of(&db, texts.operation))
		command = oa_messaging_name(texts.operation);
	if ((db.system == OA_STORE_MONGODB || db.system == OA_STORE_AMQP || db.system == OA_STORE_KAFKA) && command.len && texts.target.len)
		ns = texts.target;
	else if (oa_db_is_sql(&db))
		ns = oa_db_namespace(s, &db, number);
	route_name_put(command);
	if (command.len && ns.len)
		route_name_put(OA_LIT(" "));
	route_name_put(ns);
	if (!command.len && !ns.len)
		route_name_put(oa_db_system(&db));
}

static void route_set_name(struct oa_span *s, struct oa_bytes route)
{
	struct oa_bytes method = oa_span_method(s);

	route_name.len = 0;
	if (s->what == OA_WHAT_CONNECT)
		route_name_put(OA_LIT("connect"));
	else if (s->what == OA_WHAT_TUNNEL)
		route_name_put(route_tunnel_name(s));
	else if (s->what == OA_WHAT_RPC)
		route_name_put(route_rpc_name(s));
	else if (s->what == OA_WHAT_DB)
		route_put_db_name(s);
	else
		route_name_put(oa_method_is_other(method) ? OA_LIT("HTTP") : method);
	if (route.len) {
		route_name_put(OA_LIT(" "));
		route_name_put(route);
	}
	(void)oa_span_set_str(s, sizeof(struct oa_span_buf), OA_STR_NAME,
			      oa_bytes(route_name.text, route_name.len));
}

static int route_on_span(struct oa_span_buf *span, const struct oa_proc_id *who)
{
	struct oa_bytes route = oa_bytes(NULL, 0);

	if (span->s.what == OA_WHAT_HTTP)
		route = route_of(&span->s);
	if (route.len)
		(void)oa_span_set_str(&span->s, sizeof(*span), OA_STR_ROUTE, route);
	if (span->s.flags & OA_SPAN_TEXTS)
		route_set_name(&span->s, route);
	return 0;
}

const struct oa_processor oa_processor_route = {
	.name = "route",
	.open = route_open,
	.on_span = route_on_span,
};
