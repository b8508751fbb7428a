// Every verb over the vectors of one instruction set, and its table. Included once, last, by isa/NAME.cpp, which
// has defined W, WD, ROWS, REGISTERS, the vector functions (vf_, vd_, vi_, vb_, bytes_), SQ_KERNELS and SQ_NAME.
// Everything is in anonymous namespaces so that no instruction-set file shares a symbol with another.
#include "spread-inl.h"
#include "quantize-inl.h"
#include "pack-inl.h"
#include "elementwise-inl.h"
#include "copy-inl.h"
#include "pool-inl.h"
#include "statistics-inl.h"
#include "fields-inl.h"
#include "gather-inl.h"
#include "lines-inl.h"
#include "float-tile-inl.h"
#include "float-depthwise-inl.h"
#include "float-slide-inl.h"
#include "float-window-inl.h"
#include "float-inl.h"
#include "integer-tile-inl.h"
#include "integer-fields-inl.h"
#include "integer-pairs-inl.h"
#include "integer-rows-inl.h"
#include "integer-depthwise-inl.h"
#include "integer-split-inl.h"
#include "integer-inl.h"
#include "gram-inl.h"
#include "gradient-inl.h"
#include "hessian-inl.h"
#include "peak-inl.h"

namespace sq {

extern const Kernels SQ_KERNELS = {
    SQ_NAME,
    FUSED,
    quantize,
    quantize_channels,
    dequantize,
    dequantize_channels,
    pack,
    unpack,
    weights_size,
    pack_weights,
    gemm,
    conv,
    float_weights_size,
    pack_float_weights,
    float_gemm,
    float_conv,
    float_conv_gradient,
    sum_channels,
    affine_channels,
    combine_channels,
    clamp_gradient,
    quantize_gradient,
    add,
    clamp,
    quantized_add,
    max_pool,
    quantized_max_pool,
    average_pool,
    quantized_global_average,
    lookup,
    copy_plane,
    moments,
    histogram,
    divergence,
    squared_error,
    quantize_error,
    gram,
    round_with_hessian,
    peak,
    read,
    copy,
};

}  // namespace sq
