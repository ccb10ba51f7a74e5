// The description is asked for beside this file, so that it comes from the same host and under the same prefix.
window.ui = SwaggerUIBundle({
  url: new URL('doc.json', document.currentScript.src).href,
  dom_id: '#swagger-ui',
  deepLinking: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  // Swagger UI would ask a host on the Internet whether the description is valid.
  validatorUrl: null,
});
