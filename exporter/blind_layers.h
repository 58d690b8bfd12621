#pragma once
/* Layers in this process whose traffic we cannot see, so that "not seen" never looks like "no
 * traffic". */
#include <stdint.h>

#define OA_BLIND_LAYERS_MAX 32

struct oa_blind_layer {
	const char *layer; /* "tls" */
	const char *text;
};

/* blind_layers.def as a table; NULL layer at the end. */
extern const struct oa_blind_layer oa_blind_layer_table[];

/* Bit i: something of line i of the table is mapped. Looked up at most once a minute. Weak, so that
 * a later module which knows more can take its place. runs on   side thread; heap: no; blocks: no
 * (reads /proc/self/maps) */
uint32_t oa_blind_layers(void);
