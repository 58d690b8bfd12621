#pragma once
/* Rate, errors, duration: the labels of an exchange's measurements, see red_metrics.c. */
#include "core/series.h"
#include "core/span.h"

/* Labels of the HTTP instruments of the semantic conventions. */
void oa_red_labels(const struct oa_span *s, struct oa_label_set *ret_labels);
