/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * store_scan - what the store has: at the start every snapshot is read and proved against its checksums; later, snapshots and images that
 * nobody needs are removed.
 */
struct templates;

void store_scan_remove_unused(struct templates *ts); /* in the background; not while a build is under way */
void store_scan_drop(struct templates *ts);          /* the process ends */
