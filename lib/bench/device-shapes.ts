/**
 * Layers that a processor is timed with: every kind from a few microseconds to where its values leave the nearest
 * caches, widths that fill the kernels' tiles and widths that do not. Written as device files write them.
 */
export const LAYER_SHAPES: readonly string[] = [
  'conv 3x3/1x1 8->8 16x16',
  'conv 3x3/1x1 16->24 28x28',
  'conv 3x3/2x2 16->32 20x20',
  'conv 3x3/1x1 32->32 12x12',
  'conv 3x3/1x1 48->64 8x8',
  'conv 3x3/2x2 64->96 8x8',
  'conv 3x3/1x1 96->96 14x14',
  'conv 3x3/1x1 128->128 4x4',
  'conv 5x5/1x1 32->48 14x14',
  'conv 1x3/1x1 64->64 17x17',
  'conv 1x1/1x1 8->16 48x48',
  'conv 1x1/1x1 16->96 56x56',
  'conv 1x1/1x1 24->48 24x24',
  'conv 1x1/1x1 32->64 12x12',
  'conv 1x1/2x2 32->64 10x10',
  'conv 1x1/1x1 64->64 25x5',
  'conv 1x1/1x1 128->128 6x6',
  'conv 1x1/1x1 144->24 28x28',
  'conv 1x1/1x1 256->256 3x3',
  'conv 1x1/1x1 320->640 7x7',
  'conv 3x3/1x1 3->16 24x24',
  'conv 3x3/2x2 3->8 48x48',
  'conv 3x3/2x2 3->32 80x80',
  'conv 3x3/1x1 1->32 28x28',
  'conv 5x5/1x1 1->16 24x24',
  'conv 7x3/2x2 1->64 24x6',
  'conv 7x7/2x2 3->64 56x56',
  'grouped/4 3x3/1x1 32->32 14x14',
  'grouped/8 3x3/1x1 128->128 7x7',
  'grouped/2 1x1/1x1 64->96 14x14',
  'grouped/4 3x3/2x2 64->128 8x8',
  'grouped/32 3x3/1x1 256->256 7x7',
  'depthwise 3x3/1x1 8->8 48x48',
  'depthwise 3x3/1x1 16->16 32x32',
  'depthwise 3x3/2x2 32->32 20x20',
  'depthwise 3x3/1x1 64->64 24x5',
  'depthwise 3x3/1x1 64->64 12x12',
  'depthwise 3x3/2x2 96->96 40x40',
  'depthwise 3x3/1x1 144->144 28x28',
  'depthwise 3x3/1x1 256->256 3x3',
  'depthwise 3x3/1x1 384->384 14x14',
  'depthwise 5x5/1x1 48->48 14x14',
  'linear 64->10',
  'linear 256->12',
  'linear 128->128',
  'linear 640->128',
  'linear 512->512',
  'linear 1024->100',
  'linear 1024->1000',
  'linear 64->64 16',
];

/** Kinds of steps between layers, with the shapes of their inputs: [height, width, channels]. */
export const STEP_SHAPES: readonly { op: string; image: readonly [number, number, number]; size?: number }[] =
  [
    ...(
      [
        [8, 8, 64],
        [16, 16, 32],
        [28, 28, 24],
        [32, 32, 16],
        [56, 56, 24],
        [4, 4, 128],
      ] as const
    ).map((image) => ({ op: 'Add', image })),
    ...(
      [
        [28, 28, 32],
        [14, 14, 64],
        [7, 7, 128],
        [56, 56, 32],
      ] as const
    ).map((image) => ({ op: 'Concat', image })),
    ...(
      [
        [32, 32, 16],
        [28, 28, 64],
        [16, 16, 32],
        [56, 56, 64],
      ] as const
    ).flatMap((image) => [
      { op: 'MaxPool', image, size: 2 },
      { op: 'MaxPool', image, size: 3 },
    ]),
    ...(
      [
        [8, 8, 64],
        [3, 3, 256],
        [7, 7, 640],
        [25, 5, 64],
        [14, 14, 96],
      ] as const
    ).map((image) => ({ op: 'GlobalAveragePool', image })),
    ...(
      [
        [28, 28, 32],
        [14, 14, 64],
        [8, 8, 128],
      ] as const
    ).map((image) => ({ op: 'AveragePool', image, size: 2 })),
    ...(
      [
        [28, 28, 3],
        [96, 96, 3],
        [48, 10, 1],
        [224, 224, 3],
        [16, 16, 16],
      ] as const
    ).map((image) => ({ op: 'Transpose', image })),
  ];
