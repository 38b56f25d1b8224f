"""Records and headers that foreign encoders wrote (FFmpeg 5.1 and 9 with the encoder named), as bytes."""

AVCC_HIGH = bytes.fromhex(
    "0164000dffe100196764000dacd94150878888c04400000fa40003a9803c50a65801000668eae3cb22c0fdf8f800"
)
"""avcC: libx264, 322x242, 30000/1001 fps, High, B pyramid."""

AVCC_INTERLACED = bytes.fromhex(
    "0164001effe100256764001eacd940b424fd602200000300020000030064c08001e848003d09c98601f142996001000668fb"
    "acb3002cfdf8f800"
)
"""avcC: libx264 interlaced, 720x572 at 25 frames, NAL HRD, JVT scaling matrices."""

AVCC_422 = bytes.fromhex("017a000dffe10018677a000dbcb40a843c447e022000007d20001d4c01e2855401000468ce0fc8fef8f800")
"""avcC: libx264, 4:2:2 8 bit, 322x242."""

AVCC_444 = bytes.fromhex("01f4000dffe1001967f4000d91968150878f8fc04400000fa40003a9803c50aa8001000568ce0f1920fff8f800")
"""avcC: libx264, 4:4:4, 322x242."""

AVCC_10BIT = bytes.fromhex("016e000dffe10019676e000da6cb40a843c4446022000007d20001d4c01e28554001000468ce0fc8fdfafa00")
"""avcC: libx264, 4:2:0 10 bit, 322x242."""

HVCC_MAIN = bytes.fromhex(
    "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c95"
    "9409a10001002a42010101600000030090000003000003003ca00a8804071111965654a4c2f01680800001f480003a9804a2"
    "000100064401c073c189"
)
"""hvcC: libx265, 322x242, 30000/1001 fps, Main, tag hvc1; its last array, the SEI message of the encoder, cut off."""

HVCC_MAIN10 = bytes.fromhex(
    "0102200000009000000000003cf000fcfdfafa00000f03200001001840010c01ffff02200000030090000003000003003c95"
    "9409210001002b42010102200000030090000003000003003ca00a8804071110d965654a4c2f01680800001f480003a98040"
    "22000100064401c073c189"
)
"""hvcC: libx265, Main 10, tag hev1; its last array, the SEI message of the encoder, cut off."""

HVCC_422 = bytes.fromhex(
    "0104080000009d08000000003cf000fcfef8f800000f03200001001740010c01ffff0408000003009d0800000300003c9594"
    "0921000100294201010408000003009d0800000300003cb00a880407111f965654a4c2f01680800001f480003a9804220001"
    "00064401c073c189"
)
"""hvcC: libx265, 4:2:2, tag hev1; its last array, the SEI message of the encoder, cut off."""

AV1C_SVT = bytes.fromhex("81000c000a0b0200000521e83e2017c002")
"""av1C: SVT-AV1, 322x242, Main."""

AV1C_444 = bytes.fromhex("812000000a0a200000043d07c4daf902")
"""av1C: libaom, 4:4:4, High."""

AV1C_MONO = bytes.fromhex("81005c000a0d000000043d07c4daf97091009a")
"""av1C: libaom, monochrome 10 bit, BT.2020 with PQ."""

VPCC_P0 = bytes.fromhex("010000000014820202020000")
"""vpcC: libvpx-vp9, 322x242, 30000/1001 fps."""

VP9_KEY = bytes.fromhex("824983420014100f160638241c184a000a7050661fdfdff8")
"""The beginning of the first frame of that stream."""

VPCC_P3 = bytes.fromhex("010000000314a40202020000")
"""vpcC: libvpx-vp9, 4:2:2 10 bit."""

VP9_KEY_P3 = bytes.fromhex("b124c1a10200a08078b031c120e0c2c00051805062f6ff5f")
"""The beginning of the first frame of that stream."""

VP8_KEY = bytes.fromhex("f072009d012a4201f200000708858588")
"""The beginning of a libvpx VP8 key frame, 322x242."""

ASC_PCE = bytes.fromhex("118004c808000108840c4c61766336332e312e31303256e500")
"""AudioSpecificConfig: FFmpeg aac, hexagonal layout (6 channels through a program config element)."""

OPUS_HEAD_51 = bytes.fromhex("4f707573486561640106380180bb00000000010402000401020305")
"""OpusHead: libopus, 5.1."""

AC3_51 = bytes.fromhex("0b77b50b1e40ebf8403eff99ff0841fc3f87f0dd5c3e86fb")
"""The beginning of an FFmpeg AC-3 frame, 5.1 at 448 kbit/s and 48 kHz."""

DAC3_51 = bytes.fromhex("103de0")
"""dac3 that FFmpeg writes for it."""

EAC3_51 = bytes.fromhex("0b77037f3f87c00020f820000200400004001fcc7e0107e1")
"""The beginning of an FFmpeg E-AC-3 frame, 5.1 at 448 kbit/s and 48 kHz."""

DEC3_51 = bytes.fromhex("0e00200f00")
"""dec3 that FFmpeg writes for it."""

STREAMINFO = bytes.fromhex("039d039d0001320003bd0ac440f00000ac44b9a00f1a92b7770e3c2ed9e3ea810115")
"""STREAMINFO: FFmpeg flac, 44.1 kHz mono."""

FLAC_FRAME = bytes.fromhex("fff8790800039c834e000d00fa020302")
"""The beginning of the first frame of that stream, 925 samples."""
