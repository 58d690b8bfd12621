#pragma once
/* The resource of a batch as an encoded OTLP Resource message. */
#include "core/bytes.h"
#include "core/tree.h"

/* The attributes of oa_resource_attrs() and those of one process. Encoded again only when
 * `who` is another than last time.
 *
 * returns   the message, borrowed until the next call; ptr NULL: no memory
 * runs on   side thread; locks: none; heap: the arena; blocks: no
 */
struct oa_bytes oa_otlp_resource(const struct oa_proc_id *who);

/* Child after fork. */
void oa_otlp_resource_forget(void);
