// SPDX-License-Identifier: Apache-2.0

#pragma once

#include <stdint.h>

/// Allocations that the calling thread has made since the process began; -1 where they aren't counted.
int64_t martlet_allocation_count(void);
