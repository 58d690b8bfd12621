/* Templates by heuristic, learned from the traffic of this process: a tree of segments in fixed
 * memory. Under one prefix at most ten names keep their own place, whatever came first; later ones
 * are `*`. */
#include "pipeline/route.h"

#include <stdint.h>

#include "pipeline/scan.h"

#define GUESS_NODES_MAX  1024
#define GUESS_TEXT_MAX   24576
#define GUESS_STATIC_MAX 10 /* names under one prefix */
#define GUESS_DEPTH_MAX  10 /* segments; what is deeper is one `**` */

struct guess_node {
	uint16_t child, next; /* index, 0 none: node 0 is the root and nobody's child */
	uint16_t off, len;    /* in guess_text */
	uint64_t begin;       /* the first eight letters, padded with zeros */
	uint8_t statics;      /* children that are names */
	bool is_static;
	bool is_name; /* the segment as it was sent */
	bool ends;    /* a path ended here that was not refused */
};

static struct guess_node guess_nodes[GUESS_NODES_MAX];
static unsigned guess_node_count = 1;
static char guess_text[GUESS_TEXT_MAX];
static size_t guess_text_len;

void oa_route_guess_reset(void)
{
	memset(guess_nodes, 0, sizeof(guess_nodes[0]));
	guess_node_count = 1;
	guess_text_len = 0;
}

static inline bool guess_is(const struct guess_node *n, struct oa_bytes text, uint64_t begin)
{
	return n->begin == begin && n->len == text.len &&
	       (text.len <= 8 || oa_same((const uint8_t *)guess_text + n->off + 8, text.ptr + 8, text.len - 8));
}

static unsigned guess_find(unsigned parent, struct oa_bytes text)
{
	unsigned i = guess_nodes[parent].child;
	uint64_t begin = oa_load_begin(text);

	while (i && !guess_is(&guess_nodes[i], text, begin))
		i = guess_nodes[i].next;
	return i;
}

/* A name that is known under this prefix: no need to ask what it looks like. 0 when there is none */
static unsigned guess_known(unsigned parent, struct oa_bytes segment)
{
	unsigned i = guess_find(parent, segment);

	return guess_nodes[i].is_name ? i : 0;
}

/* returns the new child, 0 when memory is used up */
static unsigned guess_add(unsigned parent, struct oa_bytes text, bool is_static, bool is_name)
{
	unsigned i = guess_node_count;

	if (i >= GUESS_NODES_MAX || guess_text_len + text.len > GUESS_TEXT_MAX)
		return 0;
	guess_nodes[i] = (struct guess_node){ .next = guess_nodes[parent].child,
					      .off = (uint16_t)guess_text_len,
					      .len = (uint16_t)text.len,
					      .begin = oa_load_begin(text),
					      .is_static = is_static,
					      .is_name = is_name };
	memcpy(guess_text + guess_text_len, text.ptr, text.len);
	guess_text_len += text.len;
	guess_nodes[parent].child = (uint16_t)i;
	guess_nodes[parent].statics += is_static;
	guess_node_count++;
	return i;
}

/* What a segment is called in a template, before the limits of the tree. */
struct guess_name {
	struct oa_bytes text;
	bool is_static; /* there may be only so many of them */
	bool is_name;   /* nothing of it was replaced */
	char buf[16];
};

/* The child a segment belongs to; 0 when there is none and there shall or can be none. */
static unsigned guess_step(unsigned parent, const struct guess_name *name, bool learn)
{
	struct oa_bytes text = name->text;
	bool is_static = name->is_static;
	unsigned i = guess_find(parent, text);

	if (!i && learn && (!is_static || guess_nodes[parent].statics < GUESS_STATIC_MAX))
		i = guess_add(parent, text, is_static, name->is_name);
	if (!i && is_static) {
		i = guess_find(parent, OA_LIT("*"));
		if (!i && learn)
			i = guess_add(parent, OA_LIT("*"), false, false);
	}
	return i;
}

/* Cuts the next segment off a path; parameters behind `;` are not part of it. Empty segments are
 * skipped. */
static bool guess_next_segment(struct oa_bytes *path, struct oa_bytes *ret_segment)
{
	size_t name, end;

	while (path->len && path->ptr[0] == '/')
		*path = oa_bytes(path->ptr + 1, path->len - 1);
	if (!path->len)
		return false;
	name = oa_scan_first(*path, '/', ';');
	end = name;
	if (name < path->len && path->ptr[name] == ';')
		end += oa_scan_first(oa_bytes(path->ptr + name, path->len - name), '/', '/');
	*ret_segment = oa_bytes(path->ptr, name);
	*path = oa_bytes(path->ptr + end, path->len - end);
	return true;
}

static void guess_name(struct oa_bytes segment, struct guess_name *ret)
{
	struct oa_bytes ext = { 0 };

	ret->is_static = ret->is_name = false;
	switch (oa_route_segment(segment, &ext)) {
	case OA_SEGMENT_STATIC:
		ret->is_static = ret->is_name = true;
		ret->text = segment;
		break;
	case OA_SEGMENT_ID_EXT:
		memcpy(ret->buf, "{id}", 4);
		memcpy(ret->buf + 4, ext.ptr, ext.len);
		ret->is_static = true; /* extensions are counted like names: a client can make them up */
		ret->text = oa_bytes(ret->buf, 4 + ext.len);
		break;
	case OA_SEGMENT_ID:
		ret->text = OA_LIT("{id}");
		break;
	default:
		ret->text = OA_LIT("*");
	}
}

static size_t guess_put(char *route, size_t len, struct oa_bytes text)
{
	route[len++] = '/';
	oa_copy_text((uint8_t *)route + len, text.ptr, text.len);
	return len + text.len;
}

static unsigned guess_next_node(unsigned parent, struct oa_bytes segment, bool deep, size_t len, bool learn)
{
	struct guess_name name;
	unsigned known = deep || len + segment.len + 4 > OA_ROUTE_MAX ? 0 : guess_known(parent, segment);

	if (known)
		return known;
	guess_name(segment, &name);
	if (deep || len + name.text.len + 4 > OA_ROUTE_MAX)
		name = (struct guess_name){ .text = OA_LIT("**") };
	return guess_step(parent, &name, learn);
}

size_t oa_route_guess(struct oa_bytes path, bool learn, char *ret_route)
{
	struct oa_bytes segment;
	unsigned node = 0, depth = 0;
	size_t len = 0;

	while (guess_next_segment(&path, &segment)) {
		const struct guess_node *n;

		node = guess_next_node(node, segment, ++depth > GUESS_DEPTH_MAX, len, learn);
		if (!node)
			return learn ? guess_put(ret_route, len, OA_LIT("**")) : 0;
		n = &guess_nodes[node];
		len = guess_put(ret_route, len, oa_bytes(guess_text + n->off, n->len));
		if (oa_bytes_eq(oa_bytes(guess_text + n->off, n->len), OA_LIT("**"))) /* and whatever follows */
			break;
	}
	if (!len)
		ret_route[len++] = '/';
	guess_nodes[node].ends |= learn;
	return guess_nodes[node].ends ? len : 0;
}
