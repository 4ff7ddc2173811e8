// Files that are sent for pictures and are not taken: each is called by its name, with what to do about it.
import { describe, expect, test } from 'vitest';
import { checkImage } from '../../../../api/core/images/check.ts';
import { fromBase64 } from '../../../../api/core/vectors/base64.ts';

const bytes = (text: string) => Uint8Array.from(text.padEnd(40, '\0'), (character) => character.charCodeAt(0));
/** A box of ISO base media files: its size, its name, its major brand, a version and compatible brands. */
const ftyp = (...brands: string[]) => {
  const [major = '', ...others] = brands;
  return bytes(`\0\0\0${String.fromCharCode(16 + 4 * others.length)}ftyp${major}\0\0\0\0${others.join('')}`);
};
/** TIFF of one entry with that tag. */
const tiff = (tag: string) => bytes(`II*\0\x08\0\0\0\x01\0${tag}\x01\0\x04\0\0\0\x01\x04\0\0`);

/** Made with ImageMagick, libheif and Pillow: the first 48 bytes of each. */
const FIRST = {
  heic: 'AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAVdtZXRhAAAAAAAAACFoZGxy',
  tiff: 'SUkqAAgAAAAKAAABBAABAAAAYAAAAAEBBAABAAAAQAAAAAIBAwADAAAAhgAAAAMB',
  bmp: 'Qk02SAAAAAAAADYAAAAoAAAAYAAAAEAAAAABABgAAAAAAABIAADEDgAAxA4AAAAA',
};

describe('a foreign file is named, with what to do', () => {
  test.each([
    ['HEIC, whole', fromBase64(FIRST.heic), /HEIC.*Most Compatible.*heif-convert/],
    ...['heic', 'heix', 'hevc', 'mif1', 'msf1'].map((brand) => [brand, ftyp(brand), /HEIC/] as const),
    ['HEIC behind a general brand', ftyp('mif1', 'heic'), /HEIC/],
    ['TIFF, whole', fromBase64(FIRST.tiff), /is TIFF.*magick/],
    ['TIFF of the other byte order', bytes('MM\0*\0\0\0\x08'), /is TIFF/],
    ['BigTIFF', bytes('II+\0\x08\0\0\0'), /is TIFF/],
    ['BigTIFF of the other byte order', bytes('MM\0+\0\x08\0\0'), /is TIFF/],
    ['a DNG', tiff('\x12\xc6'), /raw photo \(DNG\).*Export/],
    ['a TIFF of another tag', tiff('\x12\x01'), /is TIFF/],
    ['a CR2', bytes('II*\0\x10\0\0\0CR\x02\0'), /raw photo \(Canon\)/],
    ['a CR3', ftyp('crx '), /raw photo \(Canon\)/],
    ['a RAF', bytes('FUJIFILMCCD-RAW 0201'), /raw photo \(Fujifilm\)/],
    ['BMP, whole', fromBase64(FIRST.bmp), /is BMP.*magick/],
    ['ICO', bytes('\0\0\x01\0\x01\0\x10\x10\0\0\x01\0'), /icon \(ICO\)/],
    ['CUR', bytes('\0\0\x02\0\x01\0\x10\x10\0\0\x01\0'), /cursor \(CUR\)/],
    ['a JP2 box', bytes('\0\0\0\x0cjP  \r\n\x87\n'), /JPEG 2000/],
    ['a JPEG 2000 codestream', bytes('\xff\x4f\xff\x51\0\x2f'), /JPEG 2000/],
    ['a JXL container', bytes('\0\0\0\x0cJXL \r\n\x87\n'), /JPEG XL.*djxl/],
    ['a JXL codestream', bytes('\xff\x0a\xfa\x1f'), /JPEG XL/],
    ['an AVIF sequence of frames alone', ftyp('avis', 'msf1'), /HEIC|AVIF sequence/],
    ['a PSD', bytes('8BPS\0\x01'), /Photoshop/],
    ['a PDF', bytes('%PDF-1.7\n'), /PDF.*pdftoppm/],
    ['an MP4', ftyp('isom', 'mp42'), /video \(MP4\).*ffmpeg/],
    ['a MOV', ftyp('qt  '), /video \(QuickTime\).*ffmpeg/],
    ['a WebM', bytes('\x1a\x45\xdf\xa3\x9f'), /video \(WebM/],
    ['an SVG', bytes('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'), /SVG.*rsvg-convert/],
  ] as [string, Uint8Array, RegExp][])('%s', (_, file, message) => {
    const check = () => checkImage(file);
    expect(check).toThrow(expect.objectContaining({ code: 'unsupported_image_type' }));
    expect(check).toThrow(message);
    expect(check).toThrow(/JPEG, PNG, WebP, GIF and AVIF files are accepted/);
  });

  test.each([
    ['a text that begins like a BMP', 'BMW 320d, first registration 2019'],
    ['zeros', ''],
    ['a web page', '<!doctype html><title>404</title>'],
  ])('%s is no image at all', (_, text) => {
    expect(() => checkImage(bytes(text))).toThrow(expect.objectContaining({ code: 'not_an_image' }));
  });

  test.each([
    [
      'the page of an error',
      '<!doctype html>\n<html><head><title>404 Not Found</title></head></html>',
      '<!doctype html>',
    ],
    ['a pointer of Git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a', 'git-lfs'],
    ['an answer in JSON', '{"message": "The requested URL was not found on the server"}', 'message'],
    ['base64 of base64', btoa('\xff\xd8\xff\xe0'.padEnd(60)), '/9j/4'],
  ])('%s is called a text, with how it begins', (_, text, start) => {
    expect(() => checkImage(bytes(text))).toThrow(/is not an image but a text, which begins with "/);
    expect(() => checkImage(bytes(text))).toThrow(start);
  });
});
