// SPDX-License-Identifier: Apache-2.0
//
// How many bytes the KV cache takes.

#include "CMartletKernels.h"
#include "cache_layout.h"

int64_t martlet_cache_key_bytes(MartletFormat format, int64_t head_size, int64_t block_size) {
    return block_size / MARTLET_CACHE_GROUP * group_bytes(format, head_size);
}

int64_t martlet_cache_value_bytes(MartletFormat format, int64_t head_size, int64_t block_size) {
    return block_size / MARTLET_CACHE_GROUP * group_bytes(format, padded_head_size(head_size));
}
