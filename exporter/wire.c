/* Whether the batch under way may have arrived, kept where the adopter of a killed process finds
 * it. */
#include "exporter/exporter.h"

struct oa_proc *oa_wire_owner;

void oa_wire_set(bool on)
{
	if (oa_wire_owner)
		atomic_store(&oa_wire_owner->wire, on ? OA_WIRE_OUT : OA_WIRE_WAITS);
}
