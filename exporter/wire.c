/* Whether the batch under way may have arrived, kept where the adopter of a killed process finds
 * it. What one exporter delivered stays delivered when another one fails. */
#include "exporter/exporter.h"

static struct oa_proc *wire_owner;
static bool wire_arrived;

static void wire_note(bool out)
{
	if (wire_owner)
		atomic_store(&wire_owner->wire, out ? OA_WIRE_OUT : OA_WIRE_WAITS);
}

void oa_wire_begin(struct oa_proc *owner)
{
	wire_owner = owner;
	wire_arrived = false;
}

void oa_wire_set(bool on) { wire_note(on || wire_arrived); }

void oa_wire_arrived(void)
{
	wire_arrived = true;
	wire_note(true);
}
