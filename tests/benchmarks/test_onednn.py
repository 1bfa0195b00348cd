"""The table of oneDNN's primitives: its log, parsed and summed."""

from benchmark_scripts import load_script

onednn = load_script("onednn")

CONVOLUTION = (
    "onednn_verbose,v1,primitive,exec,cpu,convolution,brg_conv_fwd:avx512_core,forward_training,"
    "src:f32::blocked:acdb::f0 wei:f32:a:blocked:ABcd48a::f0 bia:f32:a:blocked:a::f0 "
    "dst:f32::blocked:acdb::f0,attr-scratchpad:user attr-post-ops:eltwise_relu,"
    "alg:convolution_direct,g2mb128_ic96oc256_ih27oh27kh5sh1dh0ph2_iw27ow27kw5sw1dw0pw2,{}"
)
REORDER = (
    "onednn_verbose,v1,primitive,exec,cpu,reorder,jit:uni,undef,"
    "src:bf16::blocked:cdba::f0 dst:bf16::blocked:AcdB48a2b::f0,,,96x48x3x3,0.5"
)
PRODUCT = "onednn_verbose,v1,primitive,exec,cpu,gemm_api,,undef,,,,9216x128:128x4096,20.25"


def test_lines_of_the_log_are_summed_by_primitive():
    lines = [CONVOLUTION.format(10), "onednn_verbose,v1,info,cpu,runtime", "", REORDER]
    rows = onednn.summarize([*lines, CONVOLUTION.format(2.5), PRODUCT])
    assert [(row[0].kind, row[1], row[2]) for row in rows] == [
        ("gemm_api", 1, 20.25),
        ("convolution forward_training", 2, 12.5),
        ("reorder", 1, 0.5),
    ]


def test_fused_operations_and_layouts_are_named():
    (convolution, _), (reorder, _) = map(onednn.parse, (CONVOLUTION.format(1), REORDER))
    assert (convolution.fused, reorder.fused) == ("bias relu", "")
    assert convolution.layouts == "ABcd48a a acdb"
    assert reorder.layouts == "AcdB48a2b cdba"
    assert convolution.problem.startswith("g2mb128_ic96oc256")
