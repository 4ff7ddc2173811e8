// The photos of this tab: their files, small pictures and vectors. Everything that shows them listens here.

/** @typedef {{id: number, place: number, name: string, file: Blob, key: string, url: string, width: number, height: number, isSample: boolean, vector?: Float32Array, isStale?: boolean}} Photo `isStale`: its vector was of a model before */
/** @typedef {Omit<Photo, 'id' | 'place' | 'url' | 'vector' | 'isStale'> & {shown: Blob, place?: number | undefined}} NewPhoto */

/** @type {Map<number, Photo>} */
const photos = new Map();
/** @type {Set<string>} */
const keys = new Set();
/** @type {(() => void)[]} */
const listeners = [];
let lastId = 0;
let lastPlace = 0;
/** Of the vectors: all are of one space. */
let space = '';

const changed = () => {
  for (const listener of listeners) listener();
};

/** @param {Photo} photo */
function forget(photo) {
  if (photo.vector) photo.isStale = true;
  delete photo.vector;
}

const newPlace = () => {
  lastPlace += 1;
  return lastPlace;
};

export const store = {
  /** In the order they were chosen, which is not that in which they were read. */
  all: () => [...photos.values()].sort((a, b) => a.place - b.place),
  /** For what is chosen next. */
  newPlace,
  count: () => photos.size,
  /** @param {number} id */
  get: (id) => photos.get(id),
  /** Whether these bytes are here already. @param {string} key */
  has: (key) => keys.has(key),
  space: () => space,
  /** Whether photos wait until somebody has them read again. */
  isStale: () => [...photos.values()].some((photo) => photo.isStale),

  /** The server has another model now. Of no vectors there is no space, or the next search would drop them again, without end. */
  dropVectors() {
    for (const photo of photos.values()) forget(photo);
    space = '';
    changed();
  },

  /** One that has no vector yet. @param {NewPhoto} photo @returns {Photo} */
  add({ shown, place = newPlace(), ...rest }) {
    lastId += 1;
    const photo = { ...rest, id: lastId, place, url: URL.createObjectURL(shown) };
    photos.set(photo.id, photo);
    keys.add(photo.key);
    changed();
    return photo;
  },

  /** @param {Photo} photo @param {Float32Array} vector @param {string} spaceId */
  setVector(photo, vector, spaceId) {
    // Vectors of two spaces say nothing about each other: those of the model before go.
    if (space !== spaceId) for (const other of photos.values()) forget(other);
    space = spaceId;
    delete photo.isStale;
    photo.vector = vector;
    changed();
  },

  /** @param {Iterable<Photo>} gone */
  remove(gone) {
    for (const { id, key, url } of gone) {
      URL.revokeObjectURL(url);
      photos.delete(id);
      keys.delete(key);
    }
    changed();
  },

  /** @param {() => void} listener */
  subscribe(listener) {
    listeners.push(listener);
  },
};
