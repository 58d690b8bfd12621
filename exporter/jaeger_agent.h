#pragma once
/* Batches as datagrams to a Jaeger agent: Thrift compact, each an emitBatch of its own below 65 000 bytes. Nothing is
 * acknowledged: what the kernel took counts as sent. */
#include "exporter/exporter.h"

#define OA_JAEGER_PACKET_MAX 65000 /* what agents take by default */

/* returns 0 or -errno, after one line that says why */
int oa_jaeger_agent_open(void);
/* As in struct oa_exporter. */
void oa_jaeger_agent_send(const struct oa_batch *batch, uint64_t deadline_ns, oa_batch_done_fn *done, void *arg);
void oa_jaeger_agent_cancel(void);
void oa_jaeger_agent_forget(void);
