/* Whether the batch under way may have arrived anywhere, kept where the adopter of a killed process finds it. What one
 * exporter has on its way, or has delivered, stays so when another one fails. */
#include "exporter/exporter.h"

static struct oa_proc *wire_owner;
static uint64_t wire_batch = 1; /* number of the batch under way */
static unsigned wire_out;       /* exporters that it may have arrived by */

static void wire_note(void)
{
	if (wire_owner)
		atomic_store(&wire_owner->wire, wire_out ? OA_WIRE_OUT : OA_WIRE_WAITS);
}

void oa_wire_begin(struct oa_proc *owner)
{
	wire_owner = owner;
	wire_batch++;
	wire_out = 0;
}

void oa_wire_set(uint64_t *out, bool on)
{
	if ((*out == wire_batch) == on)
		return;
	*out = on ? wire_batch : 0;
	wire_out += on ? 1 : -1u;
	wire_note();
}

void oa_wire_arrived(void)
{
	wire_out++;
	wire_note();
}
