// The Worker, with our own text engine alone. What that does not run needs `main = "api/worker/with-onnxruntime.ts"`.
import { createService } from './service.ts';

export { KeyUsage } from './access/key-usage.ts';

export default createService();
