#pragma once
/* http.route without help from the program: the user's patterns, else a template by heuristic.
 * docs/routes.md says what both promise. Side thread only. */
#include <stdbool.h>

#include "core/bytes.h"

#define OA_ROUTE_MAX 160 /* longest template; leaves room for the other labels of a series */

/* -- route_pattern.c -- */
/* Reads the comma list of OTELAUTO_ROUTES, which must stay where it is; what is no pattern is said
 * once. */
void oa_route_patterns_read(const char *list);
/* The first pattern that matches; an empty text when none does. */
struct oa_bytes oa_route_pattern_find(struct oa_bytes path);
bool oa_route_pattern_match(struct oa_bytes pattern, struct oa_bytes path);

/* -- route_guess.c -- */
/* Template of a path. `learn` lets it add to what is known; without it only templates that were
 * learned count. returns   its length in ret_route (OA_ROUTE_MAX bytes), 0 for none */
size_t oa_route_guess(struct oa_bytes path, bool learn, char *ret_route);
void oa_route_guess_reset(void);

/* -- route_segment.c -- */
/* What one segment of a path becomes in a template. */
enum oa_segment {
	OA_SEGMENT_STATIC, /* itself, as long as there are few */
	OA_SEGMENT_ID,     /* {id} */
	OA_SEGMENT_ID_EXT, /* {id}.ext: a file whose name looks made up */
	OA_SEGMENT_ODD,    /* *: not text we want in a label */
};
enum oa_segment oa_route_segment(struct oa_bytes segment, struct oa_bytes *ret_ext);
