/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* metrics_internal - what the files of this folder share. */
#include "common/metrics/metrics.h"

/* process_*: what the kernel says about this process; a value that cannot be read is left out. */
int metrics_write_process(struct buf *out) must_check;
