# The image encoder for AWS on machines with a GPU, x86-64: a Lambda function on managed instances (infra/serving/gpu-encoder.ts), and the
# same image on Batch for shards of bulk jobs (infra/serving/bulk-jobs.ts).
# Build it from the repository's root; Lambda takes no attestations beside an image:
#   docker build --platform linux/amd64 --provenance=false -f api/encoder/gpu.Dockerfile .
# The same programs as api/encoder/Dockerfile, with the CUDA half of onnxruntime and what it needs.
# The bases' digests are those of public repositories that pin the same tags; they were not pulled when this was written.

# ---- bundle: as for the other image
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim@sha256:d6aa754f16b3197301076f047b5def2f02ea1dbbc2ca920407d46d7ec7f87b20 AS bundle
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY contracts/command contracts/command/
COPY contracts/src contracts/src/
COPY api/core api/core/
COPY api/registry api/registry/
COPY api/text api/text/
COPY api/encoder api/encoder/
COPY api/bulk api/bulk/
COPY api/model task/model/
COPY api/text/wasm/encoder.wasm task/text/wasm/
COPY api/encoder/pixels/resize.wasm task/encoder/pixels/
RUN node_modules/.bin/esbuild api/encoder/hosts/lambda.ts api/bulk/hosts/shard.ts --bundle --log-level=warning \
    --platform=node --target=node24 --format=esm --main-fields=module,main \
    --external:onnxruntime-node --external:sharp \
    --banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" \
    --outbase=api --outdir=task --out-extension:.js=.mjs \
    && chmod -R a+rX task

# ---- packages: the native ones. The libraries of CUDA's provider are not in the package of onnxruntime-node; its install script fetches them
# for the machine that it runs on, TensorRT's among them, which nothing here uses.
FROM node:24-bookworm-slim@sha256:d6aa754f16b3197301076f047b5def2f02ea1dbbc2ca920407d46d7ec7f87b20 AS packages
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund --os=linux --cpu=x64 --libc=glibc \
    && ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js \
    && rm -f node_modules/onnxruntime-node/bin/napi-v*/linux/x64/libonnxruntime_providers_tensorrt.so
RUN mkdir task \
    && cp -r --parents -t task \
        node_modules/onnxruntime-node/package.json node_modules/onnxruntime-node/dist \
        node_modules/onnxruntime-node/bin/napi-v*/linux/x64 node_modules/onnxruntime-common \
        node_modules/sharp node_modules/@img/sharp-linux-x64 node_modules/@img/sharp-libvips-linux-x64 \
        node_modules/@img/colour node_modules/detect-libc node_modules/semver \
    && chmod -R a+rX task

# ---- CUDA 12 and cuDNN 9, as onnxruntime's provider asks for: of gigabytes, what it loads
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu22.04@sha256:59e0e4376a0f16d10b03d3a14344b80a866a1674cb4948cb318291387ac05010 AS cuda
RUN mkdir -p /opt/lib \
    && cp -P /usr/local/cuda/lib64/libcublas.so.* /usr/local/cuda/lib64/libcublasLt.so.* \
        /usr/local/cuda/lib64/libcudart.so.* /usr/local/cuda/lib64/libcufft.so.* \
        /usr/local/cuda/lib64/libcurand.so.* /usr/local/cuda/lib64/libnvrtc*.so.* \
        /usr/lib/x86_64-linux-gnu/libcudnn*.so.9* /opt/lib/

# ---- ffmpeg and ffprobe, as for the other image: on processors, so that a frame has the same pixels there and here
FROM mwader/static-ffmpeg:7.1@sha256:a8090df5f5608daef387e1b2e93b98aaacb4d92153ad904e7d715c725724fca4 AS ffmpeg

# ---- the image: Lambda's base looks for libraries in /opt/lib
FROM public.ecr.aws/lambda/nodejs:24@sha256:19c9ce8d55c18e32fd4df26c4db582b8711297f73ca68860e541ee0715111490
COPY --from=ffmpeg /ffmpeg /ffprobe /usr/local/bin/
COPY --from=cuda /opt/lib /opt/lib/
COPY --from=packages /build/task /var/task/
COPY --from=bundle /build/task /var/task/
WORKDIR /var/task
# Without TF32 products have float32's digits, and the vectors are those of the other encoder.
ENV NVIDIA_TF32_OVERRIDE=0 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
# As in the other image: a handler for Lambda, or a program for Batch.
ENTRYPOINT ["/bin/sh", "-c", "case \"$1\" in *.mjs) exec /var/lang/bin/node \"$@\" ;; *) exec /lambda-entrypoint.sh \"$@\" ;; esac", "entry"]
CMD ["encoder/hosts/lambda.handler"]
