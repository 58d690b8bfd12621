/* Templates by heuristic, learned from the traffic of this process: a tree of segments in fixed
 * memory. Under one prefix at most ten names keep their own place, whatever came first; later ones
 * are `*`. */
#include "pipeline/route.h"

#include <stdint.h>

#define GUESS_NODES_MAX  1024
#define GUESS_TEXT_MAX   24576
#define GUESS_STATIC_MAX 10 /* names under one prefix */
#define GUESS_DEPTH_MAX  10 /* segments; what is deeper is one `**` */

struct guess_node {
	uint16_t child, next; /* index, 0 none: node 0 is the root and nobody's child */
	uint16_t off, len;    /* in guess_text */
	uint8_t statics;      /* children that are names */
	bool is_static;
	bool ends; /* a path ended here that was not refused */
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

static unsigned guess_find(unsigned parent, struct oa_bytes text)
{
	unsigned i = guess_nodes[parent].child;

	while (i &&
	       !oa_bytes_eq(oa_bytes(guess_text + guess_nodes[i].off, guess_nodes[i].len), text))
		i = guess_nodes[i].next;
	return i;
}

/* returns the new child, 0 when memory is used up */
static unsigned guess_add(unsigned parent, struct oa_bytes text, bool is_static)
{
	unsigned i = guess_node_count;

	if (i >= GUESS_NODES_MAX || guess_text_len + text.len > GUESS_TEXT_MAX)
		return 0;
	guess_nodes[i] = (struct guess_node){ .next = guess_nodes[parent].child,
					      .off = (uint16_t)guess_text_len,
					      .len = (uint16_t)text.len,
					      .is_static = is_static };
	memcpy(guess_text + guess_text_len, text.ptr, text.len);
	guess_text_len += text.len;
	guess_nodes[parent].child = (uint16_t)i;
	guess_nodes[parent].statics += is_static;
	guess_node_count++;
	return i;
}

/* The child a segment belongs to; 0 when there is none and there shall or can be none. */
static unsigned guess_step(unsigned parent, struct oa_bytes text, bool is_static, bool learn)
{
	unsigned i = guess_find(parent, text);

	if (!i && learn && (!is_static || guess_nodes[parent].statics < GUESS_STATIC_MAX))
		i = guess_add(parent, text, is_static);
	if (!i && is_static) {
		i = guess_find(parent, OA_LIT("*"));
		if (!i && learn)
			i = guess_add(parent, OA_LIT("*"), false);
	}
	return i;
}

/* Cuts the next segment off a path; parameters behind `;` are not part of it. Empty segments are
 * skipped. */
static bool guess_next_segment(struct oa_bytes *path, struct oa_bytes *ret_segment)
{
	size_t end = 0, semicolon = SIZE_MAX;

	while (path->len && path->ptr[0] == '/')
		*path = oa_bytes(path->ptr + 1, path->len - 1);
	if (!path->len)
		return false;
	for (; end < path->len && path->ptr[end] != '/'; end++)
		if (path->ptr[end] == ';' && semicolon == SIZE_MAX)
			semicolon = end;
	*ret_segment = oa_bytes(path->ptr, semicolon < end ? semicolon : end);
	*path = oa_bytes(path->ptr + end, path->len - end);
	return true;
}

/* What the segment is called in a template, before the limits of the tree. */
static struct oa_bytes guess_text_of(struct oa_bytes segment, char buf[16], bool *ret_static)
{
	struct oa_bytes ext = { 0 };

	*ret_static = false;
	switch (oa_route_segment(segment, &ext)) {
	case OA_SEGMENT_STATIC:
		*ret_static = true;
		return segment;
	case OA_SEGMENT_ID_EXT:
		memcpy(buf, "{id}", 4);
		memcpy(buf + 4, ext.ptr, ext.len);
		*ret_static =
			true; /* extensions are counted like names: a client can make them up */
		return oa_bytes(buf, 4 + ext.len);
	case OA_SEGMENT_ID:
		return OA_LIT("{id}");
	default:
		return OA_LIT("*");
	}
}

static size_t guess_put(char *route, size_t len, struct oa_bytes text)
{
	route[len++] = '/';
	memcpy(route + len, text.ptr, text.len);
	return len + text.len;
}

size_t oa_route_guess(struct oa_bytes path, bool learn, char *ret_route)
{
	struct oa_bytes segment;
	unsigned node = 0, depth = 0;
	size_t len = 0;

	while (guess_next_segment(&path, &segment)) {
		char buf[16];
		bool is_static, deep;
		struct oa_bytes text = guess_text_of(segment, buf, &is_static);

		deep = ++depth > GUESS_DEPTH_MAX || len + text.len + 4 > OA_ROUTE_MAX;
		if (deep)
			text = OA_LIT("**");
		node = guess_step(node, text, is_static && !deep, learn);
		if (!node)
			return learn ? guess_put(ret_route, len, OA_LIT("**")) : 0;
		len = guess_put(
			ret_route, len,
			oa_bytes(guess_text + guess_nodes[node].off, guess_nodes[node].len));
		if (deep)
			break;
	}
	if (!len)
		ret_route[len++] = '/';
	guess_nodes[node].ends |= learn;
	return guess_nodes[node].ends ? len : 0;
}
