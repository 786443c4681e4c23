declare module "*.css"; // goes into the bundle
