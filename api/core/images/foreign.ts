// Files that people send for pictures and that are not taken: what they are, and what to do about each.
import { ascii, big, brandsOf, little } from './bytes.ts';

export interface ForeignFile {
  /** As a sentence says it: "the file is …". */
  name: string;
  remedy: string;
}

type Named = [name: string, remedy: string, matches: (bytes: Uint8Array) => boolean];

const HEIF_BRANDS = ['heic', 'heix', 'heim', 'heis', 'hevc', 'hevx', 'hevm', 'hevs', 'mif1', 'mif2', 'msf1'];
const PHONE =
  'On an iPhone, Settings > Camera > Formats > Most Compatible takes JPEG from then on; ' +
  'sips -s format jpeg photo.heic --out photo.jpg (macOS) and heif-convert photo.heic photo.jpg (Linux) convert one.';
const convert = (extension: string) => `Convert it, for example: magick picture.${extension} picture.png`;
const DEVELOP = 'Export it as JPEG from the program that develops your photos.';
const FRAME = 'Send a frame of it, for example: ffmpeg -i video.mp4 -frames:v 1 frame.jpg';
const PAGE = 'Send a page as a picture, for example: pdftoppm -r 150 -png -f 1 -singlefile file.pdf page';

/** The first that matches names the file. Raw photos of most cameras are TIFF inside, so they stand before it. */
const FORMATS: Named[] = [
  ['HEIC (HEIF)', PHONE, (b) => brandsOf(b).some((brand) => HEIF_BRANDS.includes(brand))],
  ['a raw photo (DNG)', DEVELOP, isDng],
  ['a raw photo (Canon)', DEVELOP, (b) => ascii(b, 8, 'CR\x02') || brandsOf(b).includes('crx ')],
  ['a raw photo (Olympus)', DEVELOP, (b) => ascii(b, 0, 'IIRO') || ascii(b, 0, 'IIRS') || ascii(b, 0, 'MMOR')],
  ['a raw photo (Panasonic)', DEVELOP, (b) => ascii(b, 0, 'IIU\0')],
  ['a raw photo (Fujifilm)', DEVELOP, (b) => ascii(b, 0, 'FUJIFILMCCD-RAW')],
  ['TIFF', convert('tiff'), (b) => isTiff(b) || ascii(b, 0, 'II+\0') || ascii(b, 0, 'MM\0+')],
  ['BMP', convert('bmp'), isBmp],
  ['an icon (ICO)', convert('ico'), (b) => isIcon(b, 1)],
  ['a cursor (CUR)', convert('cur'), (b) => isIcon(b, 2)],
  ['JPEG 2000', convert('jp2'), (b) => ascii(b, 0, '\0\0\0\x0cjP  \r\n\x87\n') || ascii(b, 0, '\xff\x4f\xff\x51')],
  ['JPEG XL', 'Convert it, for example: djxl picture.jxl picture.png', isJpegXl],
  ['JPEG XR', convert('jxr'), (b) => ascii(b, 0, 'II\xbc')],
  ['a Photoshop file (PSD)', convert('psd'), (b) => ascii(b, 0, '8BPS')],
  ['a GIMP file (XCF)', convert('xcf'), (b) => ascii(b, 0, 'gimp xcf')],
  ['OpenEXR', convert('exr'), (b) => ascii(b, 0, '\x76\x2f\x31\x01')],
  ['Radiance HDR', convert('hdr'), (b) => ascii(b, 0, '#?RADIANCE')],
  ['QOI', convert('qoi'), (b) => ascii(b, 0, 'qoif')],
  ['Netpbm (PBM, PGM, PPM)', convert('ppm'), isNetpbm],
  ['DDS', convert('dds'), (b) => ascii(b, 0, 'DDS ')],
  ['a PDF', PAGE, (b) => ascii(b, 0, '%PDF-')],
  ['PostScript', convert('eps'), (b) => ascii(b, 0, '%!PS')],
  ['a video (WebM or Matroska)', FRAME, (b) => ascii(b, 0, '\x1a\x45\xdf\xa3')],
  ['a video (AVI)', FRAME, (b) => ascii(b, 0, 'RIFF') && ascii(b, 8, 'AVI ')],
  ['an AVIF sequence without a still picture', FRAME, (b) => brandsOf(b).includes('avis')],
  ['a video (QuickTime)', FRAME, (b) => ascii(b, 4, 'ftypqt') || ascii(b, 4, 'moov') || ascii(b, 4, 'mdat')],
  ['a video (MP4)', FRAME, (b) => brandsOf(b).length > 0],
  ['SVG', 'Export it as PNG, for example: rsvg-convert picture.svg -o picture.png', isSvg],
];

/** Undefined for bytes that are nothing known. */
export function nameForeignFile(bytes: Uint8Array): ForeignFile | undefined {
  const found = FORMATS.find(([, , matches]) => matches(bytes));
  return found && { name: found[0], remedy: found[1] };
}

function isTiff(bytes: Uint8Array): boolean {
  return ascii(bytes, 0, 'II*\0') || ascii(bytes, 0, 'MM\0*');
}

/** A TIFF whose first directory has the tag DNGVersion. */
function isDng(bytes: Uint8Array): boolean {
  if (!isTiff(bytes)) return false;
  const number = bytes[0] === 0x49 ? little : big;
  const directory = number(bytes, 4, 4);
  const entries = number(bytes, directory, 2);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + 12 * entry;
    if (at + 2 > bytes.length) return false;
    if (number(bytes, at, 2) === 0xc612) return true;
  }
  return false;
}

/** Its two letters begin many a text, so the size of its second header has to be one that exists. */
function isBmp(bytes: Uint8Array): boolean {
  return ascii(bytes, 0, 'BM') && [12, 16, 40, 52, 56, 64, 108, 124].includes(little(bytes, 14, 4));
}

function isIcon(bytes: Uint8Array, kind: 1 | 2): boolean {
  return little(bytes, 0, 2) === 0 && little(bytes, 2, 2) === kind && little(bytes, 4, 2) > 0 && bytes[9] === 0;
}

function isJpegXl(bytes: Uint8Array): boolean {
  return ascii(bytes, 0, '\0\0\0\x0cJXL \r\n\x87\n') || ascii(bytes, 0, '\xff\x0a');
}

function isNetpbm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && /^P[1-7][ \t\r\n]/.test(String.fromCharCode(...bytes.subarray(0, 3)));
}

function isSvg(bytes: Uint8Array): boolean {
  const start = String.fromCharCode(...bytes.subarray(0, 1024)).toLowerCase();
  return start.includes('<svg') || start.includes('<!doctype svg');
}
