// A photo's file as a data URI, shrunk first where the model would shrink it anyway.

const LONGEST_SIDE = 512;

/** @param {Blob} blob @param {string} name for messages */
export async function toDataUri(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    // The server says better than the browser what is wrong with a file.
    return await asDataUri(blob);
  }
  const scale = LONGEST_SIDE / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return await asDataUri(blob);
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  if (!context) throw new Error(`${name} could not be shrunk`);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.9);
}

/** @param {Blob} blob @returns {Promise<string>} */
function asDataUri(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => fail(new Error('the file could not be read'));
    reader.readAsDataURL(blob);
  });
}
