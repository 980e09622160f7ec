// Runs exported files on given pixels; tests call the functions of `window`.

const bytesOf = async (url) => new Uint8Array(await (await fetch(url)).arrayBuffer());

const asBase64 = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
};

const asImage = (pixels, height, width) => {
  const rgba = new Uint8ClampedArray(4 * height * width).fill(255);
  for (let at = 0; at < height * width; at += 1) {
    rgba.set(pixels.subarray(3 * at, 3 * at + 3), 4 * at);
  }
  return new ImageData(rgba, width, height);
};

// An ONNX file on a batch (n, height, width, 3) of uint8; gives each output's shape and float32.
window.runOnnx = async (model, batch, shape, threads) => {
  const ort = await import("/packages/onnxruntime-web/dist/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = "/packages/onnxruntime-web/dist/";
  ort.env.wasm.numThreads = threads;
  const session = await ort.InferenceSession.create(await bytesOf(model), {
    executionProviders: ["wasm"],
  });
  const input = new ort.Tensor("uint8", await bytesOf(batch), shape);
  const outputs = await session.run({ [session.inputNames[0]]: input });
  const found = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    found[name] = { shape: tensor.dims, type: tensor.type, data: asBase64(tensor.data) };
  }
  await session.release();
  return { outputs: found, isolated: crossOriginIsolated };
};

// A picture drawn into a canvas of (height, width), from a part [x, y, w, h] of it; gives RGB.
window.drawPicture = async (url, part, [height, width], quality) => {
  const image = await createImageBitmap(new Blob([await bytesOf(url)]));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = quality !== "none";
  if (quality !== "none") context.imageSmoothingQuality = quality;
  context.drawImage(image, ...part, 0, 0, width, height);
  const rgba = context.getImageData(0, 0, width, height).data;
  return asBase64(rgba.filter((_, at) => at % 4 !== 3));
};

const vision = async () => {
  const tasks = await import("/packages/@mediapipe/tasks-vision/vision_bundle.mjs");
  const files = await tasks.FilesetResolver.forVisionTasks("/packages/@mediapipe/tasks-vision/wasm");
  return { tasks, files };
};

// MediaPipe's classifier on a batch (n, height, width, 3): for each picture [[name, score], ...].
window.classify = async (model, batch, [count, height, width]) => {
  const { tasks, files } = await vision();
  const classifier = await tasks.ImageClassifier.createFromOptions(files, {
    baseOptions: { modelAssetBuffer: await bytesOf(model), delegate: "CPU" },
  });
  const pixels = await bytesOf(batch);
  const size = 3 * height * width;
  const found = [];
  for (let at = 0; at < count; at += 1) {
    const image = asImage(pixels.subarray(at * size, (at + 1) * size), height, width);
    const { classifications } = classifier.classify(image);
    found.push(classifications[0].categories.map((c) => [c.categoryName, c.score]));
  }
  classifier.close();
  return found;
};

// MediaPipe's segmenter: for each picture the ids of the classes, one a pixel.
window.segment = async (model, batch, [count, height, width]) => {
  const { tasks, files } = await vision();
  const segmenter = await tasks.ImageSegmenter.createFromOptions(files, {
    baseOptions: { modelAssetBuffer: await bytesOf(model), delegate: "CPU" },
    outputCategoryMask: true,
    outputConfidenceMasks: false,
  });
  const pixels = await bytesOf(batch);
  const size = 3 * height * width;
  const found = [];
  for (let at = 0; at < count; at += 1) {
    const image = asImage(pixels.subarray(at * size, (at + 1) * size), height, width);
    const { categoryMask } = segmenter.segment(image);
    found.push({
      shape: [categoryMask.height, categoryMask.width],
      data: asBase64(categoryMask.getAsUint8Array()),
    });
    categoryMask.close();
  }
  const labels = segmenter.getLabels();
  segmenter.close();
  return { masks: found, labels };
};

window.ready = true;
